import type { PosternConfig } from "../config/config.ts";
import type { Finding } from "../config/problem.ts";
import { compilePolicy } from "../policy/compile.ts";

/** What only the compiler of the policy finds wrong with a config; the `verify` of `loadConfig`. */
export function policyFindings(config: PosternConfig): readonly Finding[] {
  return compilePolicy(config.destinations).problems ?? [];
}
