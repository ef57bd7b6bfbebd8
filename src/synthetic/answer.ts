import type { SyntheticAnswer } from "../core/ports.ts";

/** An answer that holds a token, as RFC 6749 §5.1 wants it: never to be stored. */
export function jsonAnswer(status: number, value: Readonly<Record<string, unknown>>): SyntheticAnswer {
  return textAnswer(status, "application/json", JSON.stringify(value));
}

export function textAnswer(status: number, type: string, text: string): SyntheticAnswer {
  return {
    status,
    fields: [
      ["Content-Type", type],
      ["Cache-Control", "no-store"],
      ["Pragma", "no-cache"],
    ],
    body: Buffer.from(text),
  };
}

/** @param allow methods, for RFC 9110 §15.5.6 */
export function wrongMethod(allow: string): SyntheticAnswer {
  return { status: 405, fields: [["Allow", allow]], body: Buffer.alloc(0) };
}
