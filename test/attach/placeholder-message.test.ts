import { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { createAttachPort } from "../../src/attach/attach.ts";
import { clientText, frameHeader, mask, serverClose } from "../../src/attach/websocket-frame.ts";
import type { Denial } from "../../src/core/denial.ts";
import type { Lease } from "../../src/core/exchange.ts";
import type { RawStream } from "../../src/core/wire.ts";
import {
  attachNow,
  codeOf,
  destination,
  headOf,
  leaseOf,
  type Line,
  linesOf,
  NOW_MS,
  permitFor,
  requestOf,
  token,
} from "./exchange.ts";
import { problemsWith, specsOf } from "./from-config.ts";

/** A stand-in in the first message of a WebSocket: when it is replaced, and when it must not leave. */

const STAND_IN = "sk-postern-example";
const SECRET = 'se"cret-0123456789';
const inMessage = { as: "placeholder", value: STAND_IN, in: ["websocket:first"] };
const inBoth = { as: "placeholder", value: STAND_IN, in: ["header:authorization", "websocket:first"] };

class Guest extends Duplex {
  readonly heard: Buffer[] = [];
  readonly said: Buffer[] = [];

  override _read(): void {
    // Bytes come when the test says so.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.heard.push(chunk);
    done();
  }
}

interface Given {
  readonly attach?: unknown;
  readonly lines?: readonly Line[];
  readonly target?: string;
  readonly upgrade?: "websocket" | null;
  readonly nowMs?: () => number;
}

function attached({ attach = inMessage, lines = [], target, upgrade = "websocket", nowMs = () => NOW_MS }: Given) {
  const specs = specsOf(attach, "token");
  const standIns = specs.flatMap((spec) => (spec.as === "placeholder" ? [spec.value] : []));
  const clock = { monotonicMs: nowMs, wallMs: () => 0 };
  const port = createAttachPort({ clock, randomBytes: (size) => Buffer.alloc(size, 1) }, standIns);
  const permit = permitFor(destination(specs));
  const head = headOf(lines, target);
  port.cleanse(permit, head);
  const request = { ...requestOf(), upgrade };
  const lease = leaseOf(token(SECRET));
  attachNow(port, permit, lease, head, NOW_MS, request);
  return { head, request, lease };
}

/** What the upstream is told when the guest says `text` first. */
async function said(text: string, given: Given = {}, before: (lease: Lease) => void = () => undefined) {
  const { request, lease } = attached(given);
  const guest = new Guest();
  const refusals: string[] = [];
  const refused = ({ code }: Denial): void => void refusals.push(code);
  const stream: RawStream = request.filter === null ? guest : request.filter(guest, refused);
  const out: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => out.push(chunk));
  before(lease);
  guest.push(clientText(Buffer.from(text), Buffer.from([1, 2, 3, 4])));
  await new Promise((resolve) => setImmediate(resolve));
  guest.destroy();
  return { text: textOf(Buffer.concat(out)), refusals, heard: Buffer.concat(guest.heard) };
}

function textOf(bytes: Buffer): string | null {
  if (bytes.length === 0) return null;
  const header = frameHeader(bytes, 0);
  if (header === null || header === "malformed") throw new Error("no frame");
  const payload = Buffer.from(bytes.subarray(header.size));
  mask(payload, bytes.subarray(header.size - 4, header.size));
  return payload.toString();
}

describe("the stand-in in the message", () => {
  test("is replaced, escaped where that is JSON", async () => {
    expect(await said(`AUTH ${STAND_IN}, me`)).toMatchObject({ text: `AUTH ${SECRET}, me` });
    const json = (key: string): string =>
      JSON.stringify({ type: "connection_init", payload: { key: `Bearer ${key}` } });
    expect(await said(json(STAND_IN))).toMatchObject({ text: json(SECRET), refusals: [] });
  });

  test("has to be there", async () => {
    expect(await said("hello")).toEqual({ text: null, refusals: ["lease_unusable"], heard: serverClose(1008) });
  });

  test("has to be there once: another one could be said back by the upstream", async () => {
    expect(await said(`AUTH ${STAND_IN}, call me ${STAND_IN}`)).toEqual({
      text: null,
      refusals: ["placeholder_stray"],
      heard: serverClose(1008),
    });
  });

  test("has not, where the head carried it", async () => {
    const lines: Line[] = [["Authorization", `Bearer ${STAND_IN}`]];
    expect(await said("hello", { attach: inBoth, lines })).toMatchObject({ text: "hello", refusals: [] });
    expect(await said(STAND_IN, { attach: inBoth, lines })).toMatchObject({ text: SECRET, refusals: [] });
    expect(await said("hello", { attach: inBoth })).toMatchObject({ text: null, refusals: ["lease_unusable"] });
  });

  test("another one beside it never leaves", async () => {
    const other = { as: "placeholder", value: "pk-postern-example", in: ["header:x-key"] };
    const given: Given = { attach: [inMessage, other] };
    expect(await said(`${STAND_IN} pk-postern-example`, given)).toEqual({
      text: null,
      refusals: ["placeholder_stray"],
      heard: serverClose(1008),
    });
  });

  test("is not replaced by a lease that died meanwhile", async () => {
    let nowMs = NOW_MS;
    const late: Given = { nowMs: () => nowMs };
    expect(await said(STAND_IN, late, () => (nowMs += 60_000))).toMatchObject({
      text: null,
      refusals: ["lease_unusable"],
    });
    expect(await said(STAND_IN, {}, (lease) => lease.revoke())).toMatchObject({
      text: null,
      refusals: ["lease_unusable"],
    });
  });
});

describe("the head", () => {
  test("agrees on no compression, since the message has to be read", () => {
    const lines: Line[] = [["Sec-WebSocket-Extensions", "permessage-deflate"]];
    expect(linesOf(attached({ lines }).head)).toEqual([]);
  });

  test("of a request that is no WebSocket carries no credential: refused", () => {
    expect(codeOf(() => attached({ upgrade: null }))).toBe("lease_unusable");
    expect(attached({ attach: [{ as: "header", name: "x-key" }, inMessage], upgrade: null }).request.filter).toBeNull();
  });

  test("is no place for the stand-in", () => {
    expect(codeOf(() => attached({ lines: [["X-Key", STAND_IN]] }))).toBe("placeholder_stray");
    expect(codeOf(() => attached({ target: `/?first=${STAND_IN}` }))).toBe("placeholder_stray");
    const query = { ...inMessage, in: ["websocket:first", "query:key"] };
    expect(codeOf(() => attached({ attach: query, lines: [["First", STAND_IN]] }))).toBe("placeholder_stray");
  });
});

describe("a config", () => {
  test.each([
    [{ ...inMessage, in: ["websocket:second"] }, /"websocket:first"/],
    [{ ...inMessage, in: ["websocket:first", "websocket:first"] }, /written twice/],
    [
      [inMessage, { ...inMessage, value: "pk-postern-example" }],
      /websocket first is written by the placeholder attachment/,
    ],
  ])("%j is refused", (attach, problem) => {
    expect(problemsWith(attach, "token")).toEqual([expect.stringMatching(problem)]);
  });
});
