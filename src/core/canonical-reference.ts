/**
 * The one way in which everything that reads, guards or writes down where a credential is kept spells that place:
 * `provider[+engine]://<mount>/<path>#<fragment>?version=N`. It is built like a URI (RFC 3986 §2: only unreserved characters
 * stand for themselves, everything else is percent-encoded in upper-case hex) and is none: the version comes last.
 */
export interface CanonicalReference {
  /** What kind of place: `env`, `file`, `exec`, `store`, `vault`. */
  readonly provider: string;
  /** How that place is organised, where it can be in several ways (`kv2`), else `null`. */
  readonly engine: string | null;
  /** The part of the provider that access is given to as a whole; `""` where it has no parts. */
  readonly mount: string;
  /** Plain texts, not percent-encoded; none is empty, `.` or `..`. */
  readonly path: readonly string[];
  /** One part of what stands there, such as a field of a secret; never empty. */
  readonly fragment: string | null;
  /** From 1; `null`: the newest. */
  readonly version: number | null;
}

/** A part of what can be referred to: a mount, or what stands at and below a path in it. */
export type MountGrant = Pick<CanonicalReference, "provider" | "engine" | "mount" | "path">;

const SHAPE =
  /^([a-z][a-z0-9-]*)(?:\+([a-z][a-z0-9-]*))?:\/\/([^/#?]*)((?:\/[^/#?]+)*)(?:#([^#?]+))?(?:\?version=([1-9][0-9]{0,14}))?$/;

/** @returns `null` for whatever is not canonical to the letter: two spellings of one place would be two places to a guard */
export function parseReference(text: string): CanonicalReference | null {
  const parsed = parse(text);
  return parsed !== null && parsed.path.length > 0 ? parsed : null;
}

/** `store://acme`, `env://`, `file:///run/secrets/acme`: as a reference, of which the end is left out. @returns as `parseReference` */
export function parseMountGrant(text: string): MountGrant | null {
  const parsed = parse(text);
  return parsed === null || parsed.fragment !== null || parsed.version !== null ? null : parsed;
}

/** The text of a reference or of a grant. */
export function formatReference(reference: MountGrant & Partial<CanonicalReference>): string {
  const { provider, engine, mount, path, fragment = null, version = null } = reference;
  return [
    `${provider}${engine === null ? "" : `+${engine}`}://${encode(mount)}`,
    ...path.map((segment) => `/${encode(segment)}`),
    fragment === null ? "" : `#${encode(fragment)}`,
    version === null ? "" : `?version=${version}`,
  ].join("");
}

/** Whether a place lies in what was granted: provider, engine and mount are the same, and the path begins with the granted one. */
export function grantCovers(grant: MountGrant, reference: CanonicalReference): boolean {
  return (
    grant.provider === reference.provider &&
    grant.engine === reference.engine &&
    grant.mount === reference.mount &&
    grant.path.length <= reference.path.length &&
    grant.path.every((segment, i) => segment === reference.path[i])
  );
}

function parse(text: string): CanonicalReference | null {
  const match = SHAPE.exec(text);
  if (match === null) return null;
  const [, provider = "", engine, mount = "", path = "", fragment, version] = match;
  try {
    const reference: CanonicalReference = {
      provider,
      engine: engine ?? null,
      mount: decodeURIComponent(mount),
      path: path.split("/").slice(1).map(decodeURIComponent),
      fragment: fragment === undefined ? null : decodeURIComponent(fragment),
      version: version === undefined ? null : Number(version),
    };
    const steps = reference.path.some((segment) => segment === "." || segment === "..");
    return !steps && formatReference(reference) === text ? reference : null;
  } catch (error) {
    if (error instanceof URIError) return null;
    throw error;
  }
}

/** A lone surrogate, which no file system or variable can hold, becomes U+FFFD as it does there. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
