import type { CredentialEntry, LocalSourceSpec } from "../../core/credential.ts";
import { EnvSource } from "./env.ts";
import { ExecSource } from "./exec.ts";
import { FileSource } from "./file.ts";
import { StoreSource } from "./store.ts";
import { type CredentialSource, type RootShape, rootShapeOf, type SourceContext } from "./source.ts";
import { VaultSource } from "./vault.ts";

/**
 * The source of a catalogue entry, or one that its minter reads beside it. Nothing is read yet.
 * @param kind what it yields
 */
export function openSource(
  { source, kind }: Pick<CredentialEntry, "source" | "kind">,
  context: SourceContext,
): CredentialSource {
  switch (source.from) {
    case "vault":
      return new VaultSource(source, kind, context);
    case "store":
      return new StoreSource(source.name, context.store ?? null);
    default:
      return openLocalSource(source, rootShapeOf(kind), context);
  }
}

/** A source on this machine. */
export function openLocalSource(source: LocalSourceSpec, shape: RootShape, context: SourceContext): CredentialSource {
  switch (source.from) {
    case "env":
      return new EnvSource(source.variable, context);
    case "file":
      return new FileSource(source.path, context);
    case "exec":
      return new ExecSource(source, shape, context);
  }
}
