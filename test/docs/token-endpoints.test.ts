import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { dump, load } from "js-yaml";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/load.ts";

/** docs/token-endpoints.md: every example is a config, with the credentials that it names. */

const page = readFileSync(resolve(import.meta.dirname, "../../docs/token-endpoints.md"), "utf8");
const examples = [...page.matchAll(/```yaml\n([^]*?)```/g)].map(([, text = ""]) => text);

interface Shown {
  readonly destinations: readonly {
    readonly host: string;
    readonly credential?: string;
    readonly narrow?: object;
    readonly attach?: { readonly as: string };
  }[];
}

const MINT = {
  as: "registry_token",
  token_endpoint: { url: "https://auth.example.com/token" },
  service: "registry.example.com",
  username: "robot",
  repositories: ["acme/app"],
};

describe("docs/token-endpoints.md", () => {
  test.each(examples)("an example is taken: %s", (text) => {
    const { destinations } = load(text) as Shown;
    const credentials = destinations.flatMap(({ host, credential, narrow, attach }) => {
      if (credential === undefined) return [];
      const kind = attach?.as === "basic" ? { kind: "userpass", username: "reader" } : { kind: "token" };
      const what = narrow === undefined ? kind : { mint: MINT };
      return [{ name: credential.replace("main/", ""), ...what, source: { env: "ROOT" }, hosts: [`${host}:443`] }];
    });
    const file = {
      listeners: [{ name: "guests", address: "127.0.0.1:3128", session: { mode: "open" } }],
      ca: { certificate: "ca.pem", key: "ca.key" },
      audit: { file: "a" },
      custody: { main: { embedded: { credentials } } },
      destinations,
    };
    const loaded = parseConfig(dump(file), "edge.yaml", "/etc/postern");
    const problems = loaded.ok ? [] : loaded.problems.map(({ message }) => message);
    // The files of the CA are not here.
    expect(problems.filter((message) => !/ca\.(pem|key)/.test(message))).toEqual([]);
  });
});
