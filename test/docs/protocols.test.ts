import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { load } from "js-yaml";
import { describe, expect, test } from "vitest";
import { JSON_SCHEMAS, type JsonSchema } from "../../src/config/json-schema.ts";
import { parseConfig } from "../../src/config/load.ts";
import { problemLine } from "../../src/config/problem.ts";
import { Denial, DENIAL_CODES, DENIALS } from "../../src/core/denial.ts";
import { grpcStatus } from "../../src/guest/http2/grpc.ts";

/** docs/protocols.md: its tables name what exists, and its snippets are configs. */

const root = resolve(import.meta.dirname, "../..");
const page = await readFile(join(root, "docs/protocols.md"), "utf8");
const schema = JSON_SCHEMAS.postern();

/** Words with an underscore that are nobody's code and no key. */
const FOREIGN: ReadonlySet<string> = new Set(["https_proxy", "no_proxy", "insecure_channel"]);

/** Lines of a table, each as the texts of its cells. */
function rows(text: string): string[][] {
  const lines = text.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| ---"));
  return lines.map((line) => line.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, "")));
}

function section(title: string): string {
  const found = page.split(/^## /m).find((part) => part.startsWith(`${title}\n`));
  if (found === undefined) throw new Error(`no section ${title}`);
  return found;
}

/** Names in backticks. */
function quoted(text: string): string[] {
  return [...text.matchAll(/`([a-z0-9_.]+)(?:: \w+)?`/g)].map((match) => match[1] ?? "");
}

/** Whether a dotted key, `limits.head_bytes`, is in the schema. */
function isKey(path: string): boolean {
  let at: JsonSchema | undefined = schema;
  for (const part of path.split(".")) at = at?.properties?.[part];
  return at !== undefined;
}

test("the gRPC table is what the edge answers, code by code", () => {
  const [, table = ""] = /<!-- grpc:begin -->\n([^]*?)<!-- grpc:end -->/.exec(page) ?? [];
  const told = rows(table).map(([status = "", codes = ""]) => [Number(status.split(" ")[0]), quoted(codes)]);
  const statuses = [...new Set(DENIAL_CODES.map((code) => grpcStatus(new Denial(code))))].toSorted((a, b) => a - b);
  const codesOf = (status: number) => DENIAL_CODES.filter((code) => grpcStatus(new Denial(code)) === status);
  expect(told).toEqual(statuses.map((status) => [status, codesOf(status)]));
});

describe("what is refused by name", () => {
  const refusals = rows(section("Refused by name")).slice(1);

  test.each(refusals)("%s", (_what, answer = "", code = "") => {
    const names = quoted(code);
    if (names.length === 0) return expect(answer).toContain("never accepted");
    for (const name of names) expect(DENIAL_CODES).toContain(name);
    // A status that is named is the one of the denial.
    const [status] = /\b[45]\d\d\b/.exec(answer) ?? [];
    if (status !== undefined)
      expect(names.map((name) => DENIALS[name as keyof typeof DENIALS].status)).toEqual([Number(status)]);
  });

  test("there are as many as the page is worth", () => expect(refusals.length).toBeGreaterThan(15));
});

test("words in code are denials or keys of the config", () => {
  const known = new Set<string>([...DENIAL_CODES, ...FOREIGN]);
  const words = quoted(page).filter((word) => word.includes("_"));
  expect(words.filter((word) => !known.has(word) && !isKey(word))).toEqual([]);
});

test("every limit and every time of guests and upstreams has its line", () => {
  const table = section("Limits and times");
  const keys = ["limits", "timeouts"].flatMap((part) =>
    Object.keys(schema.properties?.[part]?.properties ?? {}).map((key) => `${part}.${key}`),
  );
  // Of a plain guest alone; nothing of it differs by protocol.
  expect(keys.filter((key) => !table.includes(`\`${key}\``))).toEqual(["timeouts.half_close_ms"]);
});

describe("snippets", () => {
  const snippets = [...page.matchAll(/^```yaml\n([^]*?)^```$/gm)].map((match) => match[1] ?? "");
  const held = (name: string, host: string) => ({
    name,
    kind: "userpass",
    username: "u",
    source: { env: "E" },
    hosts: [host],
  });
  const base = {
    listeners: [{ name: "guests", address: "127.0.0.1:3128", session: { mode: "open" } }],
    ca: { certificate: "ca.crt", key: "ca.key" },
    audit: { file: "audit.jsonl" },
    custody: { main: { embedded: { credentials: [held("corp-proxy", "proxy.corp.example:3128")] } } },
  };

  test.each(snippets)("%#: is a config", (text) => {
    const config = JSON.stringify({ ...base, ...(load(text) as object) });
    const loaded = parseConfig(config, "postern.yaml", "/etc/postern");
    expect(loaded.ok ? [] : loaded.problems.map(problemLine)).toEqual([]);
  });

  test("there is one for every kind of listener", () => {
    const listeners = snippets.flatMap((text) => (load(text) as { listeners?: object[] }).listeners ?? []);
    const keys = new Set(listeners.flatMap((listener) => Object.keys(listener)));
    const known = Object.keys(schema.properties?.["listeners"]?.items?.properties ?? {});
    expect(known.filter((key) => !keys.has(key))).toEqual([]);
  });
});
