/**
 * Whether two objects have the same members with the very same values, compared one by one and not in depth: quickly seen, and so
 * of most entries of a long list, which share all but a few members (`LikeItems`).
 * @param own members that are not looked at
 */
export function sameMembers<T extends object>(one: T, other: T, own: readonly string[]): boolean {
  const keys = Object.keys(one);
  if (keys.length !== Object.keys(other).length) return false;
  return keys.every((key) => own.includes(key) || Reflect.get(one, key) === Reflect.get(other, key));
}
