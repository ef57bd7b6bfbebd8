import type { CredentialEntry } from "../../core/credential.ts";
import { EnvSource } from "./env.ts";
import { ExecSource } from "./exec.ts";
import { FileSource } from "./file.ts";
import { StoreSource } from "./store.ts";
import { type CredentialSource, rootShapeOf, type SourceContext } from "./source.ts";

/** The source of a catalogue entry. Nothing is read yet. */
export function openSource({ source, kind }: CredentialEntry, context: SourceContext): CredentialSource {
  switch (source.from) {
    case "env":
      return new EnvSource(source.variable, context);
    case "file":
      return new FileSource(source.path, context);
    case "exec":
      return new ExecSource(source, rootShapeOf(kind), context);
    case "store":
      return new StoreSource(source.name, context.store ?? null);
  }
}
