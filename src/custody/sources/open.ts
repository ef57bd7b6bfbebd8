import type { CredentialEntry, LocalSourceSpec } from "../../core/credential.ts";
import { EnvSource } from "./env.ts";
import { ExecSource } from "./exec.ts";
import { FileSource } from "./file.ts";
import { type CredentialSource, type RootShape, rootShapeOf, type SourceContext } from "./source.ts";
import { VaultSource } from "./vault.ts";

/** The source of a catalogue entry. Nothing is read yet. */
export function openSource(entry: CredentialEntry, context: SourceContext): CredentialSource {
  const { source, kind } = entry;
  return source.from === "vault"
    ? new VaultSource(source, kind, context)
    : openLocalSource(source, rootShapeOf(kind), context);
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
