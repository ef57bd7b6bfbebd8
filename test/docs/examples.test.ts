import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { dump, load, loadAll } from "js-yaml";
import { describe, expect, test } from "vitest";
import { parseConfig, parseCustodyConfig } from "../../src/config/load.ts";

/** Pages whose examples are parts of a config: each of them is one that the config takes, once what it leaves out is around it. */

const root = resolve(import.meta.dirname, "../..");
const pages = [
  "README.md",
  "docs/custody.md",
  "docs/vault.md",
  "docs/lease-api.md",
  "docs/dpop-and-client-certificates.md",
];

interface Part {
  readonly [key: string]: unknown;
}

const custody = {
  listen: { address: "unix:/run/c.sock" },
  operators: { address: "unix:/run/o.sock" },
  audit: { file: "a" },
  credentials: [],
};
const entry = { kind: "token", source: { env: "ROOT" } };
const edge = {
  listeners: [{ name: "guests", address: "127.0.0.1:3128", session: { mode: "open" } }],
  ca: { certificate: "ca.crt", key: "ca.key" },
  audit: { file: "a" },
  // What pages name and show elsewhere.
  custody: {
    main: { embedded: { credentials: [{ ...entry, name: "reports", hosts: ["storage.googleapis.com:443"] }] } },
  },
  destinations: [],
};

function examplesOf(page: string): string[] {
  const text = readFileSync(resolve(root, page), "utf8");
  return [...text.matchAll(/^( *)```yaml\n([^]*?)^ *```$/gm)].flatMap(([, indent = "", yaml = ""]) => {
    const plain = yaml.replaceAll(new RegExp(`^${indent}`, "gm"), "");
    return plain.startsWith("login:") ? loadAll(plain).map((part) => dump(part)) : [plain];
  });
}

function problemsOf(text: string): string[] {
  const part = load(text) as Part;
  const loaded = isOfEdge(part)
    ? parseConfig(dump({ ...edge, ...edgePartOf(part) }), "edge.yaml", "/etc/postern")
    : parseCustodyConfig(dump({ ...custody, ...custodyPartOf(part) }), "custody.yaml", "/etc/postern");
  const messages = loaded.ok ? [] : loaded.problems.map(({ path, message }) => `${path}: ${message}`);
  // The files of the examples are not here.
  return messages.filter((message) => !message.includes("cannot be read (ENOENT)"));
}

function isOfEdge(part: Part): boolean {
  return "destinations" in part || "custody" in part;
}

function edgePartOf({ credentials, ...part }: Part): Part {
  return credentials === undefined ? part : { custody: { main: { embedded: { credentials } } }, ...part };
}

function custodyPartOf({ login, ...part }: Part): Part {
  return login === undefined ? part : { vaults: { main: { address: "https://vault.internal", login } } };
}

describe.each(pages)("%s", (page) => {
  test.each(examplesOf(page))("an example is taken: %s", (text) => {
    expect(problemsOf(text)).toEqual([]);
  });
});
