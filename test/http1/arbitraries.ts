import * as fc from "fast-check";

/** Messages that are well formed, and ways to spoil them. */
const TCHARS = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".split("");
const VALUE_CHARS = [
  ...Array.from({ length: 0x7f - 0x20 }, (_, i) => String.fromCharCode(0x20 + i)),
  ...Array.from({ length: 0x80 }, (_, i) => String.fromCharCode(0x80 + i)),
  "\t",
];

export const token = fc.string({ unit: fc.constantFrom(...TCHARS), minLength: 1, maxLength: 20 });
export const fieldValue = fc.string({ unit: fc.constantFrom(...VALUE_CHARS), maxLength: 40 });
export const fieldLine = fc
  .tuple(token, fc.constantFrom("", " ", "\t", "  "), fieldValue)
  .map(([n, ows, v]) => `${n}:${ows}${v}`);
const target = fc.string({
  unit: fc.constantFrom(...VALUE_CHARS.filter((c) => c > " " && c < "\x7f")),
  minLength: 1,
  maxLength: 40,
});

export const requestHead = fc
  .tuple(token, target, fc.constantFrom("HTTP/1.1", "HTTP/1.0"), fc.array(fieldLine, { maxLength: 8 }))
  .map(([method, uri, version, lines]) => [`${method} ${uri} ${version}`, ...lines, "", ""].join("\r\n"));

export const responseHead = fc
  .tuple(
    fc.constantFrom("HTTP/1.1", "HTTP/1.0"),
    fc.integer({ min: 100, max: 599 }),
    fc.option(fieldValue, { nil: null }),
    fc.array(fieldLine, { maxLength: 8 }),
  )
  .map(([version, status, reason, lines]) =>
    [`${version} ${status}${reason === null ? "" : ` ${reason}`}`, ...lines, "", ""].join("\r\n"),
  );

/** Bytes that parsers disagree about. */
const NASTY = [
  "\r",
  "\n",
  "\r\n",
  "\0",
  " ",
  "\t",
  ":",
  "\x7f",
  "\x0b",
  "\x80",
  "HTTP/1.1",
  "\r\n ",
  "\n\n",
  "\r\r\n",
  "0",
  ";",
];

/** `text` with up to four bytes replaced, removed or inserted. */
export function mutated(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const edit = fc.tuple(fc.nat(), fc.nat({ max: 2 }), fc.constantFrom(...NASTY));
  return fc.tuple(text, fc.array(edit, { maxLength: 4 })).map(([original, edits]) =>
    edits.reduce((current, [position, take, put]) => {
      const at = position % (current.length + 1);
      return current.slice(0, at) + put + current.slice(at + take);
    }, original),
  );
}

export const chunkedBody = fc
  .tuple(
    fc.array(
      fc.tuple(fc.string({ minLength: 1, maxLength: 50 }), fc.nat({ max: 3 }), fc.option(token, { nil: null })),
      { maxLength: 6 },
    ),
    fc.array(fieldLine, { maxLength: 3 }),
  )
  .map(([chunks, trailers]) => {
    const encoded = chunks.map(([data, zeros, extension]) => {
      const bytes = Buffer.from(data, "utf8").toString("latin1");
      const size = "0".repeat(zeros) + bytes.length.toString(16);
      return `${size}${extension === null ? "" : `;${extension}=1`}\r\n${bytes}\r\n`;
    });
    return `${encoded.join("")}0\r\n${trailers.map((line) => `${line}\r\n`).join("")}\r\n`;
  });

/** Cuts bytes into pieces at random places. */
export function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  const bounds = [0, ...places, bytes.length];
  return bounds
    .slice(1)
    .map((end, i) => bytes.subarray(bounds[i], end))
    .filter((piece) => piece.length > 0);
}
