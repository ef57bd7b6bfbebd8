/** Why a CA cannot be used or made. Closed list: tests, documentation and exit messages go by it. */
export type CaErrorCode =
  | "ca_file_missing"
  | "ca_file_unreadable"
  | "ca_file_exposed"
  | "ca_file_exists"
  | "ca_pem_broken"
  | "ca_passphrase_missing"
  | "ca_passphrase_wrong"
  | "ca_key_mismatch"
  | "ca_key_unsupported"
  | "ca_not_a_ca"
  | "ca_key_usage"
  | "ca_path_length"
  | "ca_name_constraints"
  | "ca_expired"
  | "ca_not_yet_valid"
  | "ca_chain_broken"
  | "ca_argument";

/** Stops the start (or `postern ca`). The message names the file and ends in a next step; it never holds key material. */
export class CaError extends Error {
  override readonly name = "CaError";
  readonly code: CaErrorCode;

  /**
   * @param what is wrong, one sentence without a full stop
   * @param nextStep what the operator does about it
   */
  constructor(code: CaErrorCode, what: string, nextStep: string, options?: { readonly cause?: unknown }) {
    super(`${what}: ${nextStep}`, options);
    this.code = code;
  }
}
