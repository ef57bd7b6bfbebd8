import { expect, test } from "vitest";
import { SigningKey } from "../../src/attach/sigv4/signing-key.ts";
import { isForSigned, SignatureCheck } from "../../bench/upstream/signed.ts";
import {
  CHUNK_BYTES,
  namesKey,
  NO_SIGNATURE,
  sha256,
  SIGNED_HOST,
  SIGNING,
  STREAMING,
  verifyChunks,
  verifyHead,
} from "../../bench/wire/sigv4.ts";
import { smithyAuthorization } from "../attach/sigv4/oracles.ts";

/** What the bench's upstream takes for signed, held to AWS's own SDK and to the chunks that Postern makes. */

const TIME = "20260102T030405Z";
const { keyId, secret, region, service } = SIGNING;

interface Choice {
  readonly payload?: string;
  readonly secret?: string;
  readonly keyId?: string;
}

async function signedHead({ payload = sha256(""), ...other }: Choice = {}): Promise<string> {
  const lines = [
    ["Host", `${SIGNED_HOST}:1234`],
    ["X-Amz-Date", TIME],
    ["X-Amz-Content-Sha256", payload],
  ] as const;
  const keys = { accessKeyId: other.keyId ?? keyId, secretAccessKey: other.secret ?? secret };
  const request = { method: "GET", path: "/json", query: [], lines, body: Buffer.alloc(0), region, service, keys };
  const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `GET /json HTTP/1.1\r\n${text}Authorization: ${await smithyAuthorization(request)}\r\n\r\n`;
}

/** Chunks of 64 KiB with the signatures that Postern gives them. */
function chunks(seed: string, count: number): Buffer {
  const key = new SigningKey(secret, { region, service });
  const stamp = key.stampAt(Date.UTC(2026, 0, 2, 3, 4, 5));
  const data = Buffer.alloc(CHUNK_BYTES, "x");
  let previous = seed;
  const all = Array.from({ length: count }, () => {
    previous = key.signChunk(stamp, previous, data);
    return Buffer.concat([Buffer.from(`10000;chunk-signature=${previous}\r\n`), data, Buffer.from("\r\n")]);
  });
  return Buffer.concat(all);
}

test("a head that AWS's SDK signed is verified", async () => {
  const head = await signedHead();
  expect(isForSigned(head)).toBe(true);
  expect(namesKey(head)).toBe(true);
  expect(verifyHead(head)).toMatchObject({ time: TIME });
});

test("another target, field or secret is another signature", async () => {
  const head = await signedHead();
  expect(verifyHead(head.replace("/json", "/jsom"))).toBeNull();
  expect(verifyHead(head.replace("GET", "PUT"))).toBeNull();
  expect(verifyHead(head.replace(":1234", ":1235"))).toBeNull();
  expect(verifyHead(head.replace(TIME, "20260102T030406Z"))).toBeNull();
  expect(verifyHead(await signedHead({ secret: "another" }))).toBeNull();
});

test.each([
  ["the stand-in", () => signedHead({ keyId: SIGNING.standIn })],
  ["no key", async () => (await signedHead()).replace(/Authorization: .*\r\n/, "")],
  ["a bearer token", async () => (await signedHead()).replace(/AWS4-.*\r\n/, "Bearer x\r\n")],
  ["two keys", async () => (await signedHead()).replace("\r\n\r\n", "\r\nauthorization: Bearer x\r\n\r\n")],
])("a request with %s is refused, whether or not it is of the sample", async (_name, make) => {
  const check = new SignatureCheck();
  expect(check.head(await signedHead())).toBe(true);
  expect(check.head(await make())).toBe(false);
});

test("of a connection's requests the first one is verified, and one of each 64", async () => {
  const check = new SignatureCheck();
  const forged = await signedHead({ secret: "another" });
  const passed = Array.from({ length: 129 }, () => check.head(forged));
  expect(passed.flatMap((isGood, i) => (isGood ? [] : [i]))).toEqual([0, 64, 128]);
});

test("chunks are verified from the signature of the head on", async () => {
  const seed = verifyHead(await signedHead({ payload: STREAMING }));
  if (seed === null) throw new Error("the head is not signed");
  const body = chunks(seed.signature, 3);
  expect(verifyChunks(seed, body)).toBe(true);
  expect(verifyChunks(seed, body.subarray(0, body.length - 10))).toBe(true);
  expect(verifyChunks({ ...seed, signature: NO_SIGNATURE }, body)).toBe(false);
  body[body.length - 100] = 0;
  expect(verifyChunks(seed, body)).toBe(false);
  expect(verifyChunks(seed, body.subarray(0, 1000))).toBe(false);
});

test.each([1, 7, 100])("an upload whose chunks the guest has signed is refused, in pieces of %i KiB", async (kib) => {
  const head = await signedHead({ payload: STREAMING });
  const good = chunks(verifyHead(head)?.signature ?? "", 6);
  const guests = Buffer.from(good.toString("latin1").replaceAll(/[0-9a-f]{64}/g, NO_SIGNATURE), "latin1");
  const check = new SignatureCheck();
  const passes = (body: Buffer): boolean => {
    if (!check.head(head)) return false;
    // The same memory over and over, as a socket has it.
    const piece = Buffer.alloc(kib * 1024);
    for (let at = 0; at < body.length; at += piece.length) check.body(piece, 0, body.copy(piece, 0, at));
    return check.end();
  };
  expect(passes(good)).toBe(true);
  expect(passes(guests)).toBe(false);
  expect(passes(good)).toBe(true);
});
