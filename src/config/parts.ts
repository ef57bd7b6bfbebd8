import type { z } from "zod";
import { catalogueSectionsSchema, type RawCatalogueSections } from "./catalogue-schema.ts";
import { credentialSchema, type RawCredential } from "./credential-schema.ts";
import { destinationSchema, type RawDestination } from "./destination-schema.ts";
import { listenerSchema, type RawListener } from "./listener-schema.ts";
import { parentSchema, type RawParent } from "./parent-schema.ts";
import { MOST_PROBLEMS } from "./problem.ts";
import { pruned } from "./prune.ts";
import {
  adminSchema,
  caSchema,
  type RawAdmin,
  type RawCa,
  type RawPostern,
  type RawRemote,
  type RawResolver,
  type RawUpstream,
  remoteSchema,
  resolverSchema,
  upstreamSchema,
} from "./schema.ts";
import { type RawVault, vaultSchema } from "./vault-schema.ts";

/**
 * What of a config file can be taken apart. A whole file gives all of it; of a file with faults of shape the sound parts are
 * kept (`null` stands for a broken one), so that what is wrong beyond shape is told in the same run.
 */
export interface Parts {
  readonly listeners: readonly (RawListener | null)[];
  readonly admin: RawAdmin | null;
  readonly ca: RawCa | null;
  readonly upstream: RawUpstream | null;
  /** `upstream.parents`. */
  readonly parents: ReadonlyMap<string, RawParent | null>;
  readonly resolver: RawResolver | null;
  readonly custody: ReadonlyMap<string, CustodyPart>;
  readonly destinations: Iterable<RawDestination | null>;
}

export interface CustodyPart {
  /** `null`: not an embedded one, or not even a list. */
  readonly credentials: readonly (RawCredential | null)[] | null;
  /** What stands beside them. */
  readonly sections: RawCatalogueSections;
  /** Of an embedded one; `null` stands for broken ones, each or all. */
  readonly vaults: ReadonlyMap<string, RawVault | null> | null;
  readonly remote: RawRemote | null;
  /** Names of broken credentials; the custody's own shape is broken when it is `"all"`. */
  readonly broken: ReadonlySet<string> | "all";
}

const SOUND: ReadonlySet<string> = new Set();

/** The parts of a file whose shape is right. */
export function wholeParts(raw: RawPostern): Parts {
  const custody = Object.entries(raw.custody).map(([name, part]): [string, CustodyPart] => [
    name,
    "embedded" in part
      ? {
          credentials: part.embedded.credentials,
          sections: part.embedded,
          vaults: new Map(Object.entries(part.embedded.vaults)),
          remote: null,
          broken: SOUND,
        }
      : { credentials: null, sections: {}, vaults: null, remote: part.remote, broken: SOUND },
  ]);
  return {
    listeners: raw.listeners,
    admin: raw.admin ?? null,
    ca: raw.ca ?? null,
    upstream: raw.upstream,
    parents: new Map(Object.entries(raw.upstream.parents)),
    resolver: raw.resolver,
    custody: new Map(custody),
    destinations: raw.destinations,
  };
}

/** The sound parts of a file whose shape is not right. */
export function soundParts(value: unknown): Parts {
  const file = record(value);
  return {
    listeners: each(file["listeners"], listenerSchema),
    admin: pruned(adminSchema, file["admin"]),
    ca: pruned(caSchema, file["ca"]),
    upstream: pruned(upstreamSchema, file["upstream"] ?? {}),
    parents: new Map(
      Object.entries(record(record(file["upstream"])["parents"])).map(([name, raw]) => [
        name,
        pruned(parentSchema, raw),
      ]),
    ),
    resolver: pruned(resolverSchema, file["resolver"] ?? {}),
    custody: new Map(Object.entries(record(file["custody"])).map(([name, part]) => [name, custodyPart(part)])),
    destinations: each(file["destinations"], destinationSchema),
  };
}

function custodyPart(value: unknown): CustodyPart {
  const part = record(value);
  const remote = pruned(remoteSchema, part["remote"]);
  if (remote !== null) return { credentials: null, sections: {}, vaults: null, remote, broken: SOUND };
  const embedded = record(part["embedded"]);
  const sections = pruned(catalogueSectionsSchema, embedded) ?? {};
  const list = embedded["credentials"];
  if (!Array.isArray(list)) return { credentials: null, sections, vaults: null, remote: null, broken: "all" };
  const credentials = each(list, credentialSchema);
  const broken = list.flatMap((raw: unknown) => {
    const { name } = record(raw);
    return typeof name === "string" && !credentialSchema.safeParse(raw).success ? [name] : [];
  });
  const vaults = Object.entries(record(embedded["vaults"]));
  return {
    credentials,
    sections,
    vaults: new Map(vaults.map(([name, raw]) => [name, pruned(vaultSchema, raw)])),
    remote: null,
    broken: new Set(broken),
  };
}

/** Broken entries that are looked into: past the listed problems nobody reads on. */
const MOST_PRUNED = MOST_PROBLEMS;

function each<T extends z.ZodType>(value: unknown, schema: T): (z.output<T> | null)[] {
  if (!Array.isArray(value)) return [];
  let broken = 0;
  return value.map((item: unknown) => {
    const parsed = schema.safeParse(item);
    if (parsed.success) return parsed.data;
    return ++broken > MOST_PRUNED ? null : pruned(schema, item);
  });
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
