import type { CredentialEntry } from "../../core/credential.ts";
import { openSource } from "../sources/open.ts";
import type { SourceContext } from "../sources/source.ts";
import type { Minter } from "./minter.ts";
import { StaticMinter } from "./static.ts";
import { VaultDynamicMinter } from "./vault-dynamic.ts";

/** The minter of a catalogue entry, over its source. Nothing is read yet. */
export function openMinter(entry: CredentialEntry, context: SourceContext): OpenMinter {
  if (entry.source.from === "vault" && entry.source.engine === "dynamic") {
    const minter = new VaultDynamicMinter(entry, entry.source, context);
    return { minter, reference: minter.reference };
  }
  const source = openSource(entry, context);
  return { minter: new StaticMinter(entry, source, context.clock), reference: source.reference };
}

export interface OpenMinter {
  readonly minter: Minter;
  /** Canonical reference of the root. */
  readonly reference: string;
}
