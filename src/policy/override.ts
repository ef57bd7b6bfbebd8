import type { Fields } from "../core/fields.ts";

/**
 * Fields by which frameworks let a request be another one than its request line says (Symfony, Rack, Express, Google APIs:
 * the method; IIS, Symfony, Zend: the path). A guest that may POST must not DELETE by header, so an entry that narrows the
 * method or the path holds for what such a field says, too.
 */
const OVERRIDES: ReadonlyMap<string, "method" | "path"> = new Map([
  ["x-http-method-override", "method"],
  ["x-http-method", "method"],
  ["x-method-override", "method"],
  ["x-original-url", "path"],
  ["x-rewrite-url", "path"],
]);

/** What an entry narrows. */
export interface Narrowing {
  readonly methods: readonly string[] | null;
  readonly anyPath: boolean;
}

/** Whether a field asks for a method that the entry does not allow, or for another path where paths are narrowed. */
export function readsAnother(entry: Narrowing, fields: Fields): boolean {
  const { names } = fields;
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    if (name.charCodeAt(0) !== LETTER_X) continue;
    const what = OVERRIDES.get(name);
    if (what === undefined || fields.isDropped(i)) continue;
    if (what === "path" && !entry.anyPath) return true;
    if (what === "method" && !allowsMethod(entry.methods, fields.value(i).toUpperCase())) return true;
  }
  return false;
}

/** Whether a field asks for another method than the request line, whatever it is. */
export function namesAnotherMethod(fields: Fields): boolean {
  const { names } = fields;
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    if (name.charCodeAt(0) === LETTER_X && OVERRIDES.get(name) === "method" && !fields.isDropped(i)) return true;
  }
  return false;
}

const LETTER_X = 0x78;

/** TRACE would reflect the injected credential, by whatever name it is asked for. */
export function allowsMethod(methods: readonly string[] | null, method: string): boolean {
  return !isNeverForwarded(method) && (methods === null || methods.includes(method));
}

/**
 * TRACE (and TRACK, its IIS twin) echoes the request with the credential in it; CONNECT inside of a tunnel asks for another one.
 * Frameworks fold the case of methods, so every case is refused.
 */
export function isNeverForwarded(method: string): boolean {
  if (method.length !== 5 && method.length !== 7) return false;
  const upper = method.toUpperCase();
  return upper === "TRACE" || upper === "TRACK" || upper === "CONNECT";
}
