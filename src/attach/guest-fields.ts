import type { Fields } from "../core/fields.ts";

/**
 * Drops every guest line of the names: all copies, any case. `x_api_key` is dropped with `x-api-key`, because CGI and its
 * descendants (RFC 3875 §4.1.18: WSGI, Rack, PHP) read both under one variable.
 * @param names folded
 */
export function cutFields(fields: Fields, names: readonly string[]): void {
  if (names.length === 0) return;
  for (let i = 0; i < fields.length; i++) {
    const name = fields.names[i] as string;
    for (const cut of names) {
      if (name.length === cut.length && (name === cut || (name.includes("_") && foldName(name) === cut))) {
        fields.drop(i);
        break;
      }
    }
  }
}

/** Lower case, `_` as `-`. */
export function foldName(name: string): string {
  return name.toLowerCase().replaceAll("_", "-");
}
