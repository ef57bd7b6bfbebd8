/** What an approval is given for: `read` changes nothing at the upstream (RFC 9110 §9.2.1), everything else is `write`. */
export const METHOD_CLASSES = ["read", "write"] as const;
export type MethodClass = (typeof METHOD_CLASSES)[number];

/** @returns `read` for GET, HEAD and OPTIONS, spelled so; `write` for the rest, and so for whatever nobody thought of */
export function methodClassOf(method: string): MethodClass {
  return method === "GET" || method === "HEAD" || method === "OPTIONS" ? "read" : "write";
}
