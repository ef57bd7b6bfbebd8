import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type House, startHouse, type Way, WAYS } from "./support/house.ts";
import { patternBytes, patternSha256 } from "./support/pattern.ts";
import { valuesOf } from "./support/recording.ts";
import { isPresent, run, type RunResult } from "./support/run.ts";

/** wget: the proxy from the lower-case variables; trust from the system's store, or from an option as here. */

const there = isPresent("wget");
let house: House;

beforeAll(async () => {
  house = await startHouse();
});

afterAll(() => house?.stop());

beforeEach(() => house.reset());

function wget(way: Way, path: string, ...args: string[]): Promise<RunResult> {
  const settings = ["-nv", "--tries=1", `--ca-certificate=${house.edge.ca.certificateFile}`];
  return run("wget", [...settings, ...args, house.url(way, path)], { env: house.edge.guestEnv() });
}

describe.skipIf(!there)(`wget${there ? "" : " (skipped: wget is absent)"}`, () => {
  describe.each(WAYS)("%s", (way) => {
    test("fetches", async () => {
      const result = await wget(way, "/download?bytes=3000000", "-O", "-");
      expect(result.code).toBe(0);
      expect(result.stdoutSha256).toBe(patternSha256(3_000_000));
      expect(house.upstream(way).credentialless()).toBe(0);
    });

    test("posts a file", async () => {
      const file = join(house.directory, "post.bin");
      await writeFile(file, patternBytes(0, 500_000));
      const result = await wget(way, "/upload", "-O", "-", `--post-file=${file}`);
      expect(JSON.parse(result.stdout)).toMatchObject({ bytes: 500_000, sha256: patternSha256(500_000) });
    });

    test("resumes", async () => {
      const file = join(house.directory, `resumed-${WAYS.indexOf(way)}`);
      await writeFile(file, patternBytes(0, 300_000));
      const result = await wget(way, "/range", "-c", "-O", file);
      expect(result.code).toBe(0);
      expect(valuesOf(house.upstream(way).requests[0]!, "range")).toEqual(["bytes=300000-"]);
      expect((await readFile(file)).equals(patternBytes(0, 1 << 20))).toBe(true);
    });

    test("sees a broken answer as broken", async () => {
      const result = await wget(way, "/reset?bytes=100000&after=50000", "-O", "/dev/null");
      expect(result.code).toBe(4);
    });

    test("is told what is refused", async () => {
      const other = house.upstream(way).urlFor("other.test", "/");
      const args = ["-nv", "--tries=1", "-O", "-", other];
      const result = await run("wget", args, { env: house.edge.guestEnv() });
      expect(result.code).not.toBe(0);
      expect(result.stderr).toMatch(/403|Forbidden/);
      expect(house.upstream(way).requests).toEqual([]);
    });
  });
});
