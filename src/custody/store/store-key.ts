import type { FileReader } from "../../core/private-file.ts";
import type { Secret } from "../../core/secret.ts";
import type { StoreSpec } from "../../core/secret-store.ts";
import { EnvSource } from "../sources/env.ts";
import { ExecSource } from "../sources/exec.ts";
import { rootOf, textOf } from "../sources/root-text.ts";
import { type SourceContext, SourceError } from "../sources/source.ts";
import { readPrivate } from "./private-read.ts";
import { StoreError } from "./store-error.ts";

/** Where the key of a store is read; one that is replaced there is seen once the old one no longer opens the store. */
export interface StoreKey {
  /** Longest time that one read may take, `ms`. */
  readonly timeoutMs: number;
  /** @returns what the caller zeroes. @throws StoreError */
  read(): Promise<Secret>;
}

/** Nothing is read yet. */
export function storeKey(
  spec: StoreSpec["key"],
  context: Pick<SourceContext, "clock" | "environment">,
  reader: FileReader | null,
): StoreKey {
  switch (spec.from) {
    case "file":
      return { timeoutMs: 2_000, read: () => keyInFile(spec.path, reader) };
    case "env":
      return { timeoutMs: 1_000, read: () => keyFrom(new EnvSource(spec.variable, context)) };
    case "exec":
      return { timeoutMs: spec.timeoutMs, read: () => keyFrom(new ExecSource(spec, "token", context)) };
  }
}

async function keyInFile(path: string, reader: FileReader | null): Promise<Secret> {
  const what = "key of the store";
  const where = `${what} "${path}"`;
  const missing = "check the path, or for a store that is to be made, make one with `openssl rand -hex 32`";
  const file = await readPrivate({ path, what, reader, maxBytes: 4096, mayBeLink: true, missing }).catch(asKeyError);
  if (file === null) throw new TypeError("a key is always read anew");
  try {
    return rootOf(textOf(file.bytes, where), where);
  } catch (error) {
    return asKeyError(error);
  } finally {
    file.bytes.fill(0);
  }
}

/** A source for one read: nothing of a key is held on to here. */
async function keyFrom(source: EnvSource | ExecSource): Promise<Secret> {
  try {
    return (await source.read(true)).secret;
  } catch (error) {
    return asKeyError(error);
  } finally {
    source.close();
  }
}

/** That a key is not there must not be taken for a store that is not. */
function asKeyError(error: unknown): never {
  if (error instanceof StoreError && error.fault !== "missing") throw error;
  if (error instanceof StoreError) throw new StoreError("key_unavailable", error.message);
  if (error instanceof SourceError) throw new StoreError("key_unavailable", `the key of the store: ${error.message}`);
  throw error;
}
