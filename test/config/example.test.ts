import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import Ajv from "ajv";
import { load } from "js-yaml";
import { describe, expect, test } from "vitest";
import { GENERATED } from "../../src/cli/schema.ts";
import { JSON_SCHEMAS } from "../../src/config/json-schema.ts";
import { loadConfig, loadCustodyConfig } from "../../src/config/load.ts";
import { destination, edgeFile, problemsOf } from "./support/edge-file.ts";

/** What is committed beside the code says what the code does. */

const root = resolve(import.meta.dirname, "../..");
const EXAMPLES = { postern: "config/postern.example.yaml", custody: "config/custody.example.yaml" } as const;

describe("the examples", () => {
  test("the edge's loads, and means what it says", () => {
    const loaded = loadConfig(join(root, EXAMPLES.postern));
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    const { config, files } = loaded;
    expect(config.listeners).toEqual([
      {
        name: "guests",
        address: { kind: "tcp", host: "127.0.0.1", port: 3128, text: "127.0.0.1:3128" },
        session: {
          mode: "open",
          claims: { id: "local", tenant: "local", workspace: "default", subject: "local", roles: [] },
        },
        protocol: "http",
        tls: null,
        proxySenders: null,
        socket: { mode: 0o660, owner: null },
      },
    ]);
    expect(config.admin?.address.text).toBe("127.0.0.1:9464");
    expect(config.ca?.key).toBe(join(root, "certs/ca.key"));
    expect(config.audit.file).toBe(join(root, "var/audit.jsonl"));
    expect(config.custodies.map(({ name, kind }) => [name, kind])).toEqual([["main", "embedded"]]);
    const [openai, downloads] = config.destinations;
    expect(openai).toMatchObject({
      destination: {
        name: "openai",
        scheme: "https",
        tls: "inspect",
        mode: "enforce",
        credential: { custody: "main", name: "openai" },
        attachments: [{ as: "bearer" }],
      },
      host: { kind: "exact", host: "api.openai.com" },
      port: 443,
      allow: [{ methods: ["GET", "POST"], paths: ["/v1/**"], query: null, headers: null }],
    });
    expect(downloads?.host).toEqual({ kind: "subdomains", suffix: "example.com" });
    expect(files).toEqual([EXAMPLES.postern, "certs/ca.crt", "certs/ca.key"].map((file) => join(root, file)));
  });

  test("the custody's loads", () => {
    const loaded = loadCustodyConfig(join(root, EXAMPLES.custody));
    expect(loaded.ok ? [] : loaded.problems).toEqual([]);
  });

  test("figures that the edge's example spells out are the defaults", () => {
    const example = load(readFileSync(join(root, EXAMPLES.postern), "utf8")) as Record<string, object>;
    const sections = JSON_SCHEMAS.postern().properties ?? {};
    for (const section of ["limits", "timeouts", "tls"]) {
      const defaults = Object.entries(sections[section]?.properties ?? {}).map(([key, child]) => [key, child.default]);
      expect(example[section]).toEqual(Object.fromEntries(defaults));
    }
  });
});

describe("the JSON Schemas", () => {
  const ajv = new Ajv.default({ strict: true, allowUnionTypes: true, allErrors: true });

  test.each(["postern", "custody"] as const)("%s: the example follows it", (kind) => {
    const validate = ajv.compile(JSON_SCHEMAS[kind]());
    validate(load(readFileSync(join(root, EXAMPLES[kind]), "utf8")));
    expect(validate.errors ?? []).toEqual([]);
  });

  test.each([
    ["an unknown key", edgeFile({ more: "listenrs: []" })],
    ["a figure out of bounds", edgeFile({ more: "limits: { head_bytes: 5 }" })],
    ["a missing section", edgeFile({ audit: null })],
    ["a word that is no choice", edgeFile({ destinations: destination("mode: enforced") })],
    [
      "two sources",
      edgeFile({
        custody:
          "custody: { main: { embedded: { credentials: [{ name: a, kind: token, hosts: [x], source: { env: A, file: b } }] } } }",
      }),
    ],
  ])("refuses what the reader refuses: %s", (_, text) => {
    const validate = ajv.compile(JSON_SCHEMAS.postern());
    expect(validate(load(text))).toBe(false);
    expect(problemsOf(text)).not.toEqual([]);
  });

  test("every key has a description", () => {
    const bare: string[] = [];
    const walk = (path: string, schema: unknown): void => {
      if (typeof schema !== "object" || schema === null) return;
      for (const [key, child] of Object.entries(schema)) {
        if (key === "properties") {
          for (const [name, property] of Object.entries(
            child as Record<string, { description?: string; const?: unknown }>,
          ))
            if (property.description === undefined && property.const === undefined) bare.push(`${path}.${name}`);
        }
        walk(`${path}.${key}`, child);
      }
    };
    walk("", JSON_SCHEMAS.postern());
    walk("", JSON_SCHEMAS.custody());
    expect(bare).toEqual([]);
  });
});

test.each(Object.entries(GENERATED))("%s is current (`postern schema --write`)", (path, text) => {
  expect(readFileSync(join(root, path), "utf8")).toBe(text());
});
