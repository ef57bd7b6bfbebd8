import { CHUNK_BYTES, NO_SIGNATURE, UPLOAD_CHUNKS } from "../wire/sigv4.ts";
import { Caller, requestBytes, type RequestShape } from "./caller.ts";
import { openTunnel } from "./connect.ts";
import type { Route } from "./route.ts";
import { type Tally, tallyWork } from "./window.ts";

/** `UPLOAD_CHUNKS` of 64 KiB in one body, `times` times on one connection, as plain bytes or in `aws-chunked`. Counts plain bytes. */
export interface UploadJob {
  readonly kind: "upload";
  readonly route: Route;
  readonly upstreamPid: number;
  readonly host: string;
  readonly shape: RequestShape;
  readonly chunked: boolean;
  readonly times: number;
}

const BLOCK = Buffer.alloc(CHUNK_BYTES, "postern ");
const EXTENSION = `;chunk-signature=${NO_SIGNATURE}\r\n`;
const CHUNK = Buffer.concat([Buffer.from(CHUNK_BYTES.toString(16) + EXTENSION), BLOCK, Buffer.from("\r\n")]);
const END = Buffer.from(`0${EXTENSION}\r\n`);

export async function upload({ route, upstreamPid, host, shape, chunked, times }: UploadJob): Promise<Tally> {
  const block = chunked ? CHUNK : BLOCK;
  const end = chunked ? END : Buffer.alloc(0);
  const bytes = UPLOAD_CHUNKS * block.length;
  const head = requestBytes(route, host, { ...shape, contentLength: bytes + end.length });
  const caller = new Caller(await openTunnel(route, host));
  try {
    return await tallyWork(route, upstreamPid, async () => {
      for (let i = 0; i < times; i++) await caller.upload(head, block, bytes, end);
      return times * UPLOAD_CHUNKS * CHUNK_BYTES;
    });
  } finally {
    caller.close();
  }
}
