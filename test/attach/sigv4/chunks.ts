import type { BodyLength, BodySink, RequestBody } from "../../../src/core/wire.ts";
import type { Denial } from "../../../src/core/denial.ts";

/** Bodies that arrive in pieces, and what came out of one. */

const SIGNATURE = "0".repeat(64);

/** `aws-chunked` as an SDK frames it, signed with nothing. @param trailers `name:value` */
export function framed(chunks: readonly string[], signed: boolean, trailers: readonly string[] | null = null): string {
  const extension = signed ? `;chunk-signature=${SIGNATURE}` : "";
  let text = "";
  for (const chunk of chunks) text += `${chunk.length.toString(16)}${extension}\r\n${chunk}\r\n`;
  text += `0${extension}\r\n`;
  for (const line of trailers ?? []) text += `${line}\r\n`;
  if (signed && trailers !== null) text += `x-amz-trailer-signature:${SIGNATURE}\r\n`;
  return `${text}\r\n`;
}

/** A body that is handed over in these pieces. */
export class PiecedBody implements RequestBody {
  readonly length: BodyLength;
  readonly expectContinue = false;
  readonly #pieces: readonly Buffer[];
  readonly #ends: boolean;

  /** @param ends `false`: the guest stops in the middle */
  constructor(pieces: readonly Buffer[], ends = true) {
    this.#pieces = pieces;
    this.#ends = ends;
    this.length = pieces.reduce((sum, { length }) => sum + length, 0);
  }

  start(sink: BodySink): void {
    for (const piece of this.#pieces) {
      sink.bodyData(piece);
      sink.bodyFlush();
    }
    if (this.#ends) sink.bodyEnd(null);
    sink.bodyFlush();
  }

  resume(): void {
    // All of it was handed over.
  }
}

/** Cut at these places. */
export function pieces(text: string, cuts: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text, "latin1");
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end));
}

export interface Sent {
  readonly bytes: Buffer;
  /** The body was ended, so that an upstream has seen all of it. */
  readonly isWhole: boolean;
  readonly broken: Denial | null;
}

/** What an upstream would get. */
export function sentBy(body: RequestBody): Sent {
  const chunks: Buffer[] = [];
  let isWhole = false;
  let broken: Denial | null = null;
  body.start({
    bodyData(chunk) {
      // What is kept by nobody may be overwritten.
      chunks.push(Buffer.from(chunk));
    },
    bodyEnd() {
      isWhole = true;
    },
    bodyFlush: () => true,
    bodyBroken(denial) {
      if (isWhole || broken !== null) throw new Error("told after its end");
      broken = denial;
    },
  });
  return { bytes: Buffer.concat(chunks), isWhole, broken };
}
