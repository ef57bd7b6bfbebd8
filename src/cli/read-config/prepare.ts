import { setImmediate } from "node:timers/promises";
import type { PosternConfig } from "../../config/config.ts";
import type { Loaded } from "../../config/load.ts";
import { compilePolicy, compilePolicyInSlices } from "../../policy/compile.ts";
import type { CompiledPolicy } from "../../policy/compiled-policy.ts";

/** A config that is right in every respect, and the policy that it stands for. */
export interface Ready {
  readonly config: PosternConfig;
  readonly digest: string;
  readonly policy: CompiledPolicy;
}

export type Prepared =
  | (Extract<Loaded<PosternConfig>, { ok: true }> & Ready)
  | Extract<Loaded<PosternConfig>, { ok: false }>;

/**
 * Reads a config and compiles its policy, never for longer than some milliseconds at a time.
 * @param read reads it; with `verify`, what the compiler will find wrong is found there, with its place in the file
 */
export async function prepare(read: (verify: boolean) => Promise<Loaded<PosternConfig>>): Promise<Prepared> {
  for (const verify of [false, true]) {
    const loaded = await read(verify);
    if (!loaded.ok) return loaded;
    const { policy, problems } = await compilePolicyInSlices(loaded.config.destinations, setImmediate);
    if (policy !== null) return { ...loaded, policy };
    // Found again where lines and columns are known. That it is not found there means that the file was mended meanwhile.
    if (verify) throw new Error(problems.map(({ message }) => message).join("\n"));
  }
  throw new Error("a config was neither right nor wrong");
}

/** The same at once, for a short config that was read in this process. */
export function prepareAtOnce({ config, digest }: Extract<Loaded<PosternConfig>, { ok: true }>): Ready {
  const { policy, problems } = compilePolicy(config.destinations);
  if (policy === null) throw new Error(problems.map(({ message }) => message).join("\n"));
  return { config, digest, policy };
}
