/** Why a body cannot take the credential; the message names no content. */
export class BodyFault extends Error {}
