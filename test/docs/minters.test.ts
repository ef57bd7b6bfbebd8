import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { dump, load } from "js-yaml";
import { describe, expect, test } from "vitest";
import { parseConfig, parseCustodyConfig } from "../../src/config/load.ts";
import { mintSchema } from "../../src/config/mint/table.ts";

/** docs/minters.md: every example is one that a custody takes, and every minter has one. */

const page = await readFile(resolve(import.meta.dirname, "../../docs/minters.md"), "utf8");
const examples = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text = ""]) => text);

interface Part {
  readonly [key: string]: unknown;
}

/** What an example leaves out, put in around it. */
function entriesOf(text: string): readonly Part[] {
  if (text.startsWith("- ")) return load(text) as readonly Part[];
  const part = load(text) as Part;
  const { credentials } = part as { readonly credentials?: readonly Part[] };
  const entry = { name: "x", source: { env: "ROOT" }, hosts: ["api.example.com:443"] };
  return credentials ?? [{ ...entry, ...part }];
}

const ofCustody = examples.filter((text) => text.includes("mint:"));

describe("docs/minters.md", () => {
  test.each(ofCustody)("an example is taken: %s", (text) => {
    const store = { file: "secrets.store", key: { env: "STORE_KEY" } };
    const file = { listen: { address: "unix:/run/c.sock" }, audit: { file: "a" }, store, credentials: entriesOf(text) };
    const loaded = parseCustodyConfig(dump(file), "custody.yaml", "/etc/postern");
    const problems = loaded.ok ? [] : loaded.problems.map(({ message }) => message);
    // The files of the examples are not here.
    expect(problems.filter((message) => !message.includes("partner-roots.pem cannot be read"))).toEqual([]);
  });

  test("the destination of the example is taken as well", () => {
    const [text = ""] = examples.filter((one) => one.startsWith("destinations:"));
    const file = {
      listeners: [{ name: "guests", address: "127.0.0.1:3128", session: { mode: "open" } }],
      ca: { certificate: "ca.crt", key: "ca.key" },
      audit: { file: "a" },
      custody: { main: { embedded: { credentials: entriesOf(examples[0] ?? "") } } },
      ...(load(text) as Part),
    };
    const loaded = parseConfig(dump(file), "edge.yaml", "/etc/postern");
    expect(loaded.ok ? [] : loaded.problems).toEqual([]);
  });

  test("every minter is in a table and in an example, here or among the clouds", async () => {
    const clouds = await readFile(resolve(import.meta.dirname, "../../docs/minters-cloud.md"), "utf8");
    const kinds = mintSchema.options.map((option) => option.shape.as.value);
    for (const as of kinds) {
      expect(`${page}${clouds}`).toMatch(new RegExp(`^\\| \\[?\`${as}\``, "m"));
      expect(`${page}${clouds}`).toMatch(new RegExp(`${as}\\b`));
    }
  });
});
