import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { load } from "js-yaml";
import { expect, test } from "vitest";
import { parseConfig } from "../../src/config/load.ts";
import { edgeFile } from "../config/support/edge-file.ts";

/** The examples of the page are configs that load, and every minter that it is about has one. */

const text = readFileSync(join(resolve(import.meta.dirname, "../.."), "docs/minters-cloud.md"), "utf8");
const blocks = [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block = ""]) => block);

test.each(blocks.map((block, i) => [i + 1, block] as const))("example %i loads", (_number, block) => {
  const { credentials, destinations = [] } = load(block) as { credentials: unknown[]; destinations?: unknown[] };
  const config = edgeFile({
    // JSON is YAML.
    custody: `custody: ${JSON.stringify({ main: { embedded: { credentials } } })}`,
    destinations: `destinations: ${JSON.stringify(destinations)}`,
  });
  const loaded = parseConfig(config, "edge.yaml", "/etc/postern");
  expect(loaded.ok ? [] : loaded.problems).toEqual([]);
});

test("every minter of the table has its example", () => {
  const named = [...text.matchAll(/^\| \[`([a-z_]+)`\]/gm)].map(([, name]) => name);
  expect(named).toHaveLength(7);
  for (const name of named) expect(text.includes(`as: ${name}`) || name === "aws_sts_web_identity", name).toBe(true);
});
