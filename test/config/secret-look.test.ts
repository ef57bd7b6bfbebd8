import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { dump, load } from "js-yaml";
import { describe, expect, test } from "vitest";
import { parseConfig, parseCustodyConfig } from "../../src/config/load.ts";
import { problemLine } from "../../src/config/problem.ts";
import { isIssuedKey, MASKED, masked } from "../../src/config/secret-look.ts";
import { ALL, edgeFile, messagesOf } from "./support/edge-file.ts";

/** A key that was pasted into the wrong place of a config is not repeated by the message that says so. */

const KEY = "sk-proj-Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z";

// None of them ever opened anything.
const SECRETS = [
  KEY,
  "sk-ant-api03-R2D2c3P0xYz7Qw8Er5Ty6Ui1Op4As3Df",
  "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
  "github_pat_11ABCDEFG0aB1cD2eF3gH4_iJ5kL6mN7oP8qR9sT0uV1wX2yZ3",
  "glpat-x7Yq2LzR9vB4nK8mW3cT",
  "AKIAIOSFODNN7EXAMPLE",
  "q8Jx2vN/7Lm4Rt9Yb1Wc6Zp3Hd5Kf0Gs+a2D4eE6",
  "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.q8Jx2vN7Lm4Rt9Yb1Wc6Zp3Hd5Kf0Gs",
  "5f4dcc3b5aa765d61d8327deb882cf99",
  "-----BEGIN PRIVATE KEY-----\\nMIGHAgEAMBMGByqGSM49\\n-----END PRIVATE KEY-----",
];

const HARMLESS = [
  "api.openai.com:443",
  "*.eu-central-1.compute.amazonaws.com",
  "ec2-203-0-113-25.compute-1.amazonaws.com",
  "2001:db8:85a3::8a2e:370:7334",
  "/etc/postern/certs/ca-2026-intermediate.crt",
  "/run/secrets/openai_api_key",
  "OPENAI_API_KEY_STAGING_2",
  "sk-postern-openai",
  "sk-postern-openai-production-2",
  "GetUserProfileSettings",
  "/repos/*/actions/runs/**",
  "Authorization: Bearer {token}",
  "npm_registry_mirror_internal",
];

describe("masking", () => {
  test.each(SECRETS)("%s is masked, wherever it stands", (secret) => {
    for (const text of [
      secret,
      `"${secret}": write "x"`,
      `main/${secret}`,
      `Bearer ${secret}`,
      `${secret}, and more`,
    ]) {
      expect(masked(text)).toContain(MASKED);
      expect(masked(text)).not.toContain(secret.slice(8));
    }
  });

  test.each(HARMLESS)("%s is shown", (text) => {
    expect(masked(text)).toBe(text);
    expect(isIssuedKey(text)).toBe(false);
  });
});

const root = resolve(import.meta.dirname, "../..");
const files = [
  ["postern.example.yaml", parseConfig],
  ["custody.example.yaml", parseCustodyConfig],
] as const;

describe.each(files)("%s", (name, parse) => {
  const problems = (value: unknown): string => {
    const loaded = parse(dump(value), name, join(root, "config"));
    return loaded.ok ? "" : loaded.problems.map(problemLine).join("\n") + JSON.stringify(loaded.problems);
  };

  test("with a key in place of any value or name: no message has it", async () => {
    const example = load(await readFile(join(root, "config", name), "utf8"));
    let told = 0;
    for (const spoilt of spoilings(example, KEY)) {
      const text = problems(spoilt);
      expect(text).not.toContain(KEY.slice(8));
      if (text.includes(MASKED)) told++;
    }
    expect(told).toBeGreaterThan(20);
  });
});

/** `value` with `key` in place of each of its values and of each of its keys, one at a time. */
function* spoilings(value: unknown, key: string): Generator {
  yield key;
  if (typeof value !== "object" || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    for (const spoilt of spoilings(inner, key)) {
      yield Array.isArray(value) ? value.with(Number(name), spoilt) : { ...value, [name]: spoilt };
    }
    if (!Array.isArray(value))
      yield { ...Object.fromEntries(Object.entries(value).filter(([n]) => n !== name)), [key]: inner };
  }
}

test.each([
  "npm-3f2a1b4c-9d8e-4f60-a1b2-c3d4e5f60718",
  "key-8f14e45fceea167a5a36dedd4bea2543",
  "d41d8cd98f00b204e9800998ecf8427e",
])("%s may be a name that a program gave: it is masked in messages, and not refused", (name) => {
  expect(isIssuedKey(name)).toBe(false);
  expect(masked(name)).toBe(MASKED);
});

describe("a key as a name is refused, because names are logged", () => {
  const advice =
    "looks like a key, and names are logged: write a plain name, put the key where `source` says, and think of a new key";
  const credential = (text: string): string =>
    edgeFile({ custody: `custody: { main: { embedded: { credentials: [${text}] } } }` });
  test("of a credential", () => {
    const text = credential(`{ name: ${KEY}, kind: token, source: { env: K }, hosts: ["a.com:443"] }`);
    expect(messagesOf(text)).toEqual([`custody.main.embedded.credentials[0].name: "${MASKED}": ${advice}`]);
  });

  test("of the variable that should hold it", () => {
    const text = credential(`{ name: k, kind: token, source: { env: ${SECRETS[2]} }, hosts: ["a.com:443"] }`);
    expect(messagesOf(text)).toEqual([`custody.main.embedded.credentials[0].source.env: ${advice}`]);
  });

  test("of a credential that a remote custody would be asked for", () => {
    const text = edgeFile({
      custody: "custody: { main: { remote: { address: unix:/run/c.sock } } }",
      destinations: `destinations: [{ name: a, host: a.com, ${ALL}, credential: ${KEY}, attach: { as: bearer } }]`,
    });
    expect(messagesOf(text)).toEqual([`destinations[0].credential: "${MASKED}": ${advice}`]);
  });
});
