import type * as Http2 from "node:http2";

let module: typeof Http2 | null = null;

/** `node:http2`, loaded with the first guest or upstream that speaks it: it would make an idle edge 6 MB larger. */
export function http2(): typeof Http2 {
  return (module ??= process.getBuiltinModule("node:http2"));
}
