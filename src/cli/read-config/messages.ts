import type { PosternConfig } from "../../config/config.ts";
import type { Loaded } from "../../config/load.ts";
import type { RulePage } from "./rule-pages.ts";

/** What the reading process tells, in this order: pages, as many as the allow-list has, then the end. Nothing in it is secret. */
export type Message =
  | { readonly kind: "page"; readonly page: RulePage }
  | {
      readonly kind: "end";
      readonly loaded: Loaded<Settings>;
      /** PEM; empty unless they were asked for. */
      readonly systemRoots: readonly string[];
    };

/** A config without its allow-list. */
export type Settings = Omit<PosternConfig, "destinations">;

/** What the reading process is asked for: its one argument, as JSON. */
export interface ReadOrder {
  /** Path of the config file, as the command line has it and problems call it. */
  readonly path: string;
  /** The policy is compiled there as well, and what is wrong with it is told with its place in the file. */
  readonly verify: boolean;
  /** The roots of the system are read as well. */
  readonly roots: boolean;
}
