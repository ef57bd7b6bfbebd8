import { allowList } from "./allow-list.ts";
import { memory } from "./memory.ts";
import type { Survey } from "./survey.ts";

/** What is taken once a run, in order. */
export const surveys: readonly Survey[] = [memory, allowList];
