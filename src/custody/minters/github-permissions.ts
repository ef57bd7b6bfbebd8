/** Levels of a permission, the lower first. */
const LEVELS = ["read", "write", "admin"];

/**
 * `name:level` texts as GitHub is asked for them. Where a name has more than one level, the highest holds: the lower ones are
 * in the list so that a destination may narrow to them.
 */
export function githubPermissions(texts: readonly string[]): ReadonlyMap<string, string> {
  const permissions = new Map<string, string>();
  for (const text of texts) {
    const [name = "", level = ""] = text.split(":");
    if (isWithin(permissions.get(name), level)) permissions.set(name, level);
  }
  return permissions;
}

/**
 * Whether a token that was answered has more than was asked for.
 * @param answered value of `permissions`, unchecked
 */
export function hasMore(answered: unknown, asked: ReadonlyMap<string, string>): boolean {
  if (answered === undefined || answered === null) return false;
  if (typeof answered !== "object") return true;
  return Object.entries(answered).some(([name, level]) => {
    // GitHub adds it to whatever is asked for: no repository could be named without it.
    if (name === "metadata" && level === "read") return false;
    const most = asked.get(name);
    return most === undefined || typeof level !== "string" || !LEVELS.includes(level) || !isWithin(level, most);
  });
}

/** Nothing is within everything. */
function isWithin(level: string | undefined, most: string): boolean {
  return level === undefined || LEVELS.indexOf(level) <= LEVELS.indexOf(most);
}
