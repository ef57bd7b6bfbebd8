import type { CanonicalReference } from "./canonical-reference.ts";
import type { SourceSpec } from "./credential.ts";

/** Where a source reads: what its canonical reference says, and what the mounts of a tenant are held against. */
export function referenceOfSource(source: SourceSpec): CanonicalReference {
  switch (source.from) {
    case "env":
      return at("env", "", [source.variable]);
    case "file":
      return at("file", "", segmentsOf(source.path));
    case "exec":
      return ofCommand(source.command);
    case "store":
      return ofStored(source.name);
    case "vault": {
      const { engine, mount, path, field, version } = source;
      return { provider: "vault", engine, mount, path: segmentsOf(path), fragment: field, version };
    }
  }
}

function at(provider: string, mount: string, path: readonly string[], fragment: string | null = null) {
  return { provider, engine: null, mount, path, fragment, version: null };
}

/** A program that is looked for in PATH is another one than the same name at the root. Arguments tell secrets of one helper apart. */
function ofCommand([program = "", ...rest]: readonly string[]): CanonicalReference {
  const fragment = rest.length === 0 ? null : JSON.stringify(rest);
  return at("exec", program.includes("/") ? "" : "path", segmentsOf(program), fragment);
}

/** `acme/openai` is the entry `openai` of the mount `acme`; a name without a slash stands in no mount. */
function ofStored(name: string): CanonicalReference {
  const slash = name.indexOf("/");
  return at("store", slash < 0 ? "" : name.slice(0, slash), name.slice(slash + 1).split("/"));
}

function segmentsOf(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "");
}
