import { z } from "zod";
import type { CredentialKind } from "../../core/credential.ts";
import type { MintSpec } from "../../core/mint.ts";
import { clientCredentials } from "./client-credentials.ts";
import type { MintConfig, MintContext } from "./mint-config.ts";

/** One line a kind, in the order of the documentation: a kind in the vocabulary without a line here does not compile. */
const TABLE = { oauth2_client_credentials: clientCredentials } satisfies {
  [As in MintSpec["as"]]: { readonly schema: MintConfig<As>["schema"] };
};

/** `mint:` of a catalogue entry. */
export const mintSchema = z.discriminatedUnion("as", [TABLE.oauth2_client_credentials.schema]);

export type RawMint = z.output<typeof mintSchema>;

/** What `mint:` means, and what a lease of it brings. */
export function mintOf(raw: RawMint, context: MintContext): { readonly kind: CredentialKind; readonly spec: MintSpec } {
  const config = TABLE[raw.as] as unknown as MintConfig<MintSpec["as"]>;
  return { kind: config.kind(raw), spec: Object.freeze(config.spec(raw, context)) };
}
