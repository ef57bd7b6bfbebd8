import { randomBytes as systemRandomBytes } from "node:crypto";
import type { CredentialEntry } from "../../core/credential.ts";
import type { MintSpec } from "../../core/mint.ts";
import { type CloudMint, isCloudPerSession, longestIssuerMs } from "../../core/mint-cloud.ts";
import { RotatingStore } from "../rotating-store.ts";
import { openSource } from "../sources/open.ts";
import type { CredentialSource, SourceContext } from "../sources/source.ts";
import { GcpSelfSignedMinter } from "./gcp-self-signed.ts";
import { KeptMint } from "./kept-mint.ts";
import { LazyMinter } from "./lazy-minter.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minter } from "./minter.ts";
import {
  allOf,
  isPerSession,
  longestMintMs,
  type OAuth2Mint,
  type OAuth2Sources,
  oauth2Sources,
} from "./oauth2-sources.ts";
import { SignedJwtMinter } from "./signed-jwt.ts";
import { StaticMinter } from "./static.ts";
import { VaultDynamicMinter } from "./vault-dynamic.ts";

/** The minter of a catalogue entry, over its source. Nothing is read yet. */
export function openMinter(entry: CredentialEntry, context: SourceContext): OpenMinter {
  const { kind, source: spec, mint } = entry;
  if (spec.from === "vault" && spec.engine === "dynamic") {
    const minter = new VaultDynamicMinter(entry, spec, context);
    return { minter, reference: minter.reference };
  }
  // What is exchanged for something else is one text, whatever a lease of it brings.
  const source = openSource({ source: spec, kind: mint === null ? kind : "token" }, context);
  const { reference } = source;
  const minter =
    mint === null ? new StaticMinter(entry, source, context.clock) : openMint(entry, mint, source, context);
  return { minter, reference };
}

export interface OpenMinter {
  readonly minter: Minter;
  /** Canonical reference of the root. */
  readonly reference: string;
}

/** The place that chooses. */
function openMint(entry: CredentialEntry, mint: MintSpec, source: CredentialSource, context: SourceContext): Minter {
  const { name } = entry;
  const { clock, randomBytes = systemRandomBytes } = context;
  const tools: MintTools = { clock, randomBytes, name, where: `credential "${name}"` };
  const random = (): number => randomBytes(4).readUInt32BE() / 2 ** 32;
  const rotating = rotatingInStore(entry, mint, source, context);
  switch (mint.as) {
    case "signed_jwt":
      // Each lease gets one of its own: signing asks nobody.
      return new SignedJwtMinter(mint, source, tools);
    case "gcp_self_signed_jwt":
      return new GcpSelfSignedMinter(mint, source, tools);
    case "oauth2_client_credentials":
    case "oauth2_refresh_token":
    case "oauth2_token_exchange":
    case "oauth2_jwt_bearer": {
      const sources = oauth2Sources(mint, source, context);
      const perSession = isPerSession(mint);
      const minter = oauth2Minter(mint, sources, tools, context, rotating);
      // A root that is rotated where it is read is another one at each rotation, and still the same.
      const roots = allOf(rotating === null ? sources : { ...sources, root: rotating.lineage });
      return new KeptMint(minter, { name, perSession, roots, clock, random });
    }
    case "github_app":
    case "aws_sts_assume_role":
    case "aws_sts_web_identity":
    case "gcp_service_account":
    case "azure_client_credentials":
    case "registry_token":
      return new KeptMint(cloudMinter(entry, mint, source, tools), {
        name,
        perSession: isCloudPerSession(mint),
        roots: [source],
        clock,
        random,
      });
  }
}

/** Its HTTP client is loaded with the first mint. */
function cloudMinter(entry: CredentialEntry, mint: CloudMint, source: CredentialSource, tools: MintTools): Minter {
  return new LazyMinter(source.timeoutMs + longestIssuerMs(mint), [source], async () => {
    const { openCloud } = await import("./cloud-open.ts");
    return openCloud(mint, entry, source, tools);
  });
}

/** The root that is rotated where it is read, in the store; `null` for all others. */
function rotatingInStore(
  { source: spec }: CredentialEntry,
  mint: MintSpec,
  source: CredentialSource,
  { store = null }: SourceContext,
): RotatingStore | null {
  if (mint.as !== "oauth2_refresh_token" || mint.state !== null) return null;
  if (spec.from !== "store") throw new TypeError("a refresh token that is in no store has a file of state");
  return new RotatingStore(spec.name, source, store);
}

/** Its HTTP client is loaded with the first mint. */
function oauth2Minter(
  mint: OAuth2Mint,
  sources: OAuth2Sources,
  tools: MintTools,
  context: SourceContext,
  rotating: RotatingStore | null,
): Minter {
  return new LazyMinter(longestMintMs(mint, sources), allOf(sources), async () => {
    const { openOAuth2 } = await import("./oauth2-open.ts");
    return openOAuth2(mint, sources, tools, { rotating, uid: context.uid });
  });
}
