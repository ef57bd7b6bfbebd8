import { latestWallMs } from "../latest-wall.ts";
import type { VaultSourceSpec } from "../../core/vault.ts";
import { type Json, objectAt, countAt, says } from "./answer.ts";
import type { TokenAnswer, VaultClient } from "./client.ts";
import { VaultFault } from "./fault.ts";

/** What a key-value engine holds at a path. */
export interface KvSecret {
  readonly data: Json;
  /** Monotonic ms from which on it must be read anew, or is deleted. */
  readonly expiresAtMs: number;
}

/** Nothing that was read is believed for longer, `ms`: key-value secrets have no lease. */
const FRESH_MS = 900_000;

/** Reads a secret of KV 1 or KV 2. @throws VaultFault */
export async function readKv(client: VaultClient, spec: VaultSourceSpec): Promise<KvSecret> {
  return spec.engine === "kv1" ? await readKv1(client, spec) : await readKv2(client, spec);
}

async function readKv1(client: VaultClient, spec: VaultSourceSpec): Promise<KvSecret> {
  const path = encoded(spec.mount, spec.path);
  const answer = await client.ask({ method: "GET", path }, true);
  if (answer.status !== 200) throw absent(client, spec, answer);
  const { where } = client.http;
  // How soon its writer wants it read again; mostly the default of the mount, which is long.
  const hintS = countAt(answer.json, "lease_duration", where);
  const freshMs = hintS === 0 ? FRESH_MS : Math.min(FRESH_MS, hintS * 1000);
  return { data: objectAt(answer.json, "data", where), expiresAtMs: answer.sentAtMs + freshMs };
}

async function readKv2(client: VaultClient, spec: VaultSourceSpec): Promise<KvSecret> {
  const query = spec.version === null ? "" : `?version=${spec.version}`;
  const path = encoded(spec.mount, "data", spec.path) + query;
  const answer = await client.ask({ method: "GET", path }, true);
  if (answer.status !== 200) throw absent(client, spec, answer);
  const { where } = client.http;
  const outer = objectAt(answer.json, "data", where);
  const metadata = objectAt(outer, "metadata", where);
  const version = countAt(metadata, "version", where);
  if (spec.version !== null && version !== spec.version)
    throw new VaultFault(
      "unreadable",
      `${placeOf(client, spec)}: version ${spec.version} was asked for and another one came`,
    );
  const freshMs = Math.min(FRESH_MS, deletedInMs(client, answer, metadata));
  if (freshMs <= 0)
    throw new VaultFault("absent", `${placeOf(client, spec)}: version ${version} ends now: write a new one`);
  return { data: objectAt(outer, "data", where), expiresAtMs: answer.sentAtMs + freshMs };
}

/** `delete_version_after`: the version ends at a time of the server's own clock. */
function deletedInMs({ clock, http }: VaultClient, { serverMs }: TokenAnswer, metadata: Json): number {
  const at = metadata["deletion_time"] ?? "";
  if (at === "") return Number.POSITIVE_INFINITY;
  const atMs = typeof at === "string" ? Date.parse(at) : Number.NaN;
  if (Number.isNaN(atMs))
    throw new VaultFault("unreadable", `${http.where} tells a deletion_time that is no time: check that it is a Vault`);
  // Its `Date` is cut to whole seconds: by then it may be a second later.
  return serverMs === null ? atMs - latestWallMs(clock) : atMs - serverMs - 1000;
}

/** What 400 and 404 mean: deleted, destroyed and never written are told apart. */
function absent(client: VaultClient, spec: VaultSourceSpec, { status, json }: TokenAnswer): VaultFault {
  const place = placeOf(client, spec);
  const fault = (text: string) => new VaultFault("absent", `${place}${text}`);
  if (says(json, "warnings", /Invalid path for a versioned K\/V/i))
    return fault(": the mount holds versions: write engine: kv2");
  if (status !== 404) return fault(` cannot be read (status ${status}): check mount, path and engine`);
  const metadata = metadataOf(json);
  const version = spec.version === null ? "its latest version" : `version ${spec.version}`;
  if (metadata === null)
    return fault(
      `: there is nothing, or no ${version === "its latest version" ? "version" : version}: check mount, path, namespace and that engine is ${spec.engine}`,
    );
  if (metadata["destroyed"] === true) return fault(`: ${version} is destroyed for good: write a new one`);
  return fault(`: ${version} is deleted: undelete it, or write a new one`);
}

function metadataOf(json: Json): Json | null {
  const data = json["data"] as Json | null | undefined;
  const metadata = typeof data === "object" && data !== null ? data["metadata"] : null;
  return typeof metadata === "object" && metadata !== null ? (metadata as Json) : null;
}

/** Server and path for errors. */
export function placeOf({ http }: VaultClient, { mount, path }: VaultSourceSpec): string {
  return `${http.where}, ${mount}/${path}`;
}

/** The path of a request, each segment percent-encoded. */
export function encoded(...parts: readonly string[]): string {
  return parts
    .flatMap((part) => part.split("/"))
    .map(encodeURIComponent)
    .join("/");
}
