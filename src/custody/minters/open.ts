import { randomBytes as systemRandomBytes } from "node:crypto";
import type { CredentialEntry } from "../../core/credential.ts";
import type { MintSpec } from "../../core/mint.ts";
import { openSource } from "../sources/open.ts";
import type { CredentialSource, SourceContext } from "../sources/source.ts";
import { KeptMint } from "./kept-mint.ts";
import { LazyMinter } from "./lazy-minter.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minter } from "./minter.ts";
import { StaticMinter } from "./static.ts";
import { VaultDynamicMinter } from "./vault-dynamic.ts";

/** The minter of a catalogue entry, over its source. Nothing is read yet. */
export function openMinter(entry: CredentialEntry, context: SourceContext): OpenMinter {
  const { name, kind, source: spec, mint } = entry;
  if (spec.from === "vault" && spec.engine === "dynamic") {
    const minter = new VaultDynamicMinter(entry, spec, context);
    return { minter, reference: minter.reference };
  }
  // What is exchanged for something else is one text, whatever a lease of it brings.
  const source = openSource({ source: spec, kind: mint === null ? kind : "token" }, context);
  const { reference } = source;
  if (mint === null) return { minter: new StaticMinter(entry, source, context.clock), reference };
  const { clock, randomBytes = systemRandomBytes } = context;
  const tools = { clock, randomBytes, where: `credential "${name}"` };
  const random = (): number => randomBytes(4).readUInt32BE() / 2 ** 32;
  const { inner, perSession } = openMint(mint, source, tools);
  return { minter: new KeptMint(inner, { name, perSession, clock, random }), reference };
}

export interface OpenMinter {
  readonly minter: Minter;
  /** Canonical reference of the root. */
  readonly reference: string;
}

interface OpenMint {
  readonly inner: Minter;
  /** What is minted says which session it is for. */
  readonly perSession: boolean;
}

/** The place that chooses. What a minter needs beyond the standard library is loaded with its first mint. */
function openMint(mint: MintSpec, source: CredentialSource, tools: MintTools): OpenMint {
  switch (mint.as) {
    case "oauth2_client_credentials":
      return {
        perSession: false,
        inner: new LazyMinter(source.timeoutMs + mint.endpoint.timeoutMs, async () => {
          const { ClientCredentialsMinter } = await import("./oauth2-client-credentials.ts");
          return new ClientCredentialsMinter(mint, source, tools);
        }),
      };
  }
}
