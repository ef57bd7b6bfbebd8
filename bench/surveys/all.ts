import { allowList } from "./allow-list.ts";
import { custody } from "./custody.ts";
import { floods } from "./floods.ts";
import { leasesMemory } from "./leases-memory.ts";
import { memory } from "./memory.ts";
import { renewals } from "./renewals.ts";
import { sigv4 } from "./sigv4.ts";
import type { Survey } from "./survey.ts";

/** What is taken once a run, in order. */
export const surveys: readonly Survey[] = [memory, allowList, custody, renewals, sigv4, leasesMemory, floods];
