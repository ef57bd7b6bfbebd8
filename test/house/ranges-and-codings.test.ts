import type { IncomingMessage, ServerResponse } from "node:http";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type House, startHouse, type Way, WAYS } from "./support/house.ts";
import { patternBytes, patternSha256 } from "./support/pattern.ts";
import { type Recorded, valuesOf } from "./support/recording.ts";
import { isPresent, run } from "./support/run.ts";

/** Parts of a thing, and things in a coding: the edge changes neither what is asked for nor what comes. */

const SIZE = 400_000;
const WHOLE = patternBytes(0, SIZE);
const GZIPPED = gzipSync(WHOLE);
/** Paths whose first answer breaks off in the middle. */
const broken = new Set<string>();
let house: House;

beforeAll(async () => {
  house = await startHouse({ serve });
});

afterAll(() => house?.stop());

beforeEach(() => {
  house.reset();
  broken.clear();
});

function serve(request: IncomingMessage, response: ServerResponse, recorded: Recorded): void {
  request.resume();
  request.on("end", () => {
    if (request.url === "/gzip") {
      const fields = { "content-encoding": "gzip", "content-length": GZIPPED.length, vary: "Accept-Encoding" };
      response.writeHead(200, fields).end(GZIPPED);
    } else if (request.url === "/upload") response.end(`${recorded.bodySha256} ${recorded.bodyBytes}\n`);
    else serveParts(request, response);
  });
}

/** RFC 9110 §14: one range, several, or the whole where `If-Range` names another state. */
function serveParts(request: IncomingMessage, response: ServerResponse): void {
  const same = [undefined, '"v1"'].includes(request.headers["if-range"] as string | undefined);
  const ranges = same ? [...(request.headers.range ?? "").matchAll(/(\d+)-(\d*)/g)].map(bounds) : [];
  const common = { etag: '"v1"', "accept-ranges": "bytes", "last-modified": "Wed, 21 Oct 2015 07:28:00 GMT" };
  const isFirst = request.url?.startsWith("/flaky") === true && !broken.has(request.url);
  if (ranges.length > 1) {
    const body = Buffer.concat([...ranges.map(part), Buffer.from("--THE-BORDER--\r\n")]);
    response.writeHead(206, { ...common, "content-type": "multipart/byteranges; boundary=THE-BORDER" }).end(body);
    return;
  }
  const [[from, to] = [0, SIZE]] = ranges;
  const range = ranges.length === 0 ? {} : { "content-range": `bytes ${from}-${to - 1}/${SIZE}` };
  response.writeHead(ranges.length === 0 ? 200 : 206, { ...common, ...range, "content-length": to - from });
  if (isFirst) {
    broken.add(request.url ?? "");
    response.write(WHOLE.subarray(from, SIZE / 2), () => request.socket.destroy());
  } else response.end(WHOLE.subarray(from, to));
}

function bounds([, from, to]: RegExpExecArray): readonly [number, number] {
  return [Number(from), to === "" ? SIZE : Number(to) + 1];
}

function part([from, to]: readonly [number, number]): Buffer {
  const head = `--THE-BORDER\r\nContent-Range: bytes ${from}-${to - 1}/${SIZE}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), WHOLE.subarray(from, to), Buffer.from("\r\n")]);
}

/** Head and body as curl got them, through the edge and without it. */
async function bothWays(way: Way, path: string, ...args: string[]): Promise<readonly [string, string]> {
  const parts = [`${path}-head`, `${path}-head-direct`].map((name) => join(house.directory, encodeURIComponent(name)));
  const through = await house.curl(way, path, ...args, "-D", parts[0] ?? "");
  const direct = await house.curlDirectly(way, path, ...args, "-D", parts[1] ?? "");
  const texts = await Promise.all(
    [through, direct].map(async ({ stdoutSha256, code }, i) => {
      // What the answer to CONNECT says, and what belongs to a hop.
      const head = (await readFile(parts[i] ?? "", "latin1")).replace(
        /^HTTP\/1\.1 200 Connection Established\r\n\r\n/,
        "",
      );
      const lines = head
        .split("\r\n")
        .filter((line) => !/^(?:date|connection|keep-alive|transfer-encoding):/i.test(line));
      return [code, ...lines, stdoutSha256].join("\n");
    }),
  );
  return texts as [string, string];
}

describe.each(WAYS)("%s", (way) => {
  test.each([
    ["one range", ["-r", "10-19"], "206"],
    ["a range to the end", ["-r", "399990-"], "206"],
    [
      "several ranges, as multipart/byteranges",
      ["-r", "0-9,100-109,399990-"],
      "multipart/byteranges; boundary=THE-BORDER",
    ],
    ["If-Range that holds", ["-r", "10-19", "-H", 'If-Range: "v1"'], "206"],
    ["If-Range that does not", ["-r", "10-19", "-H", 'If-Range: "v0"'], "HTTP/1.1 200 OK"],
    ["a coding that was asked for", ["-H", "Accept-Encoding: gzip;q=1.0, identity; q=0.5, *;q=0"], "HTTP/1.1 200 OK"],
  ])("%s: the answer is the upstream's own, byte for byte", async (_name, args, expected) => {
    const path = args.includes("-r") ? "/parts" : "/gzip";
    const [through, direct] = await bothWays(way, path, ...args);
    expect(through).toBe(direct);
    expect(through).toContain(expected);
    const [asked, directly] = house.upstream(way).requests as [Recorded, Recorded];
    for (const name of ["range", "if-range", "accept-encoding"])
      expect(valuesOf(asked, name)).toEqual(valuesOf(directly, name));
  });

  test("curl decodes what the edge left alone", async () => {
    const raw = await house.curl(way, "/gzip");
    expect(gunzipSync(raw.stdoutBytes).equals(WHOLE)).toBe(true);
    expect((await house.curl(way, "/gzip", "--compressed")).stdoutSha256).toBe(patternSha256(SIZE));
  });

  test("an upload in a coding arrives as it left", async () => {
    const file = join(house.directory, "upload.gz");
    await writeFile(file, GZIPPED);
    const result = await house.curl(way, "/upload", "-H", "Content-Encoding: gzip", "--data-binary", `@${file}`);
    const { stdoutSha256 } = await house.curlDirectly(way, "/gzip");
    expect(result.stdout).toBe(`${stdoutSha256} ${GZIPPED.length}\n`);
    expect(valuesOf(house.upstream(way).requests[0]!, "content-encoding")).toEqual(["gzip"]);
  });

  test("curl -C - goes on where a download broke off", async () => {
    const file = join(house.directory, `curl-${WAYS.indexOf(way)}`);
    const first = await house.curl(way, "/flaky", "-o", file);
    expect([18, 56]).toContain(first.code);
    const have = (await readFile(file)).length;
    expect(have).toBeLessThan(SIZE);
    expect(await house.curl(way, "/flaky", "-C", "-", "-o", file)).toMatchObject({ code: 0 });
    expect((await readFile(file)).equals(WHOLE)).toBe(true);
    expect(valuesOf(house.upstream(way).requests[1]!, "range")).toEqual(have === 0 ? [] : [`bytes=${have}-`]);
  });

  const wget = isPresent("wget");
  test.skipIf(!wget)(`wget goes on by itself${wget ? "" : " (skipped: wget is absent)"}`, async () => {
    const file = join(house.directory, `wget-${WAYS.indexOf(way)}`);
    const settings = ["-nv", "--tries=3", "--waitretry=0", `--ca-certificate=${house.edge.ca.certificateFile}`];
    const result = await run("wget", [...settings, "-c", "-O", file, house.url(way, "/flaky")], {
      env: house.edge.guestEnv(),
    });
    expect(result.code).toBe(0);
    expect((await readFile(file)).equals(WHOLE)).toBe(true);
    expect(house.upstream(way).requests).toHaveLength(2);
    expect(house.upstream(way).credentialless()).toBe(0);
  });
});
