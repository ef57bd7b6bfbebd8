import { parseConfig } from "../../src/config/load.ts";
import { problemLine } from "../../src/config/problem.ts";
import type { AttachmentSpec } from "../../src/core/destination.ts";
import { ALL, edgeFile } from "../config/support/edge-file.ts";

/** `attach:` as a config file says it, JSON being YAML. @param kind of the credential */
export function attachText(attach: unknown, kind: "token" | "signing_key" | "userpass"): string {
  const credential = {
    name: "key",
    kind,
    ...(kind === "signing_key" && { key_id: "k1" }),
    ...(kind === "userpass" && { username: "bot" }),
    source: { env: "KEY" },
    hosts: ["api.example.com:443"],
  };
  return edgeFile({
    custody: `custody: ${JSON.stringify({ main: { embedded: { credentials: [credential] } } })}`,
    destinations: `destinations:\n  - { name: api, host: api.example.com, ${ALL}, credential: main/key, attach: ${JSON.stringify(attach)} }`,
  });
}

/** What a config means. @throws Error with its problems */
export function specsOf(attach: unknown, kind: "token" | "signing_key" = "signing_key"): readonly AttachmentSpec[] {
  const loaded = parseConfig(attachText(attach, kind), "edge.yaml", "/etc/postern");
  if (!loaded.ok) throw new Error(loaded.problems.map(problemLine).join("\n"));
  return loaded.config.destinations[0]?.destination.attachments ?? [];
}

/** What is wrong with it, without line and column. */
export function problemsWith(attach: unknown, kind: "token" | "signing_key" | "userpass" = "signing_key"): string[] {
  const loaded = parseConfig(attachText(attach, kind), "edge.yaml", "/etc/postern");
  return loaded.ok ? [] : loaded.problems.map((problem) => problemLine(problem).replace(/^edge\.yaml:\d+:\d+: /, ""));
}
