import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { load } from "js-yaml";
import { describe, expect, test } from "vitest";
import { attachSchema } from "../../src/config/attach/table.ts";
import { problemsWith } from "../attach/from-config.ts";

/** docs/attachments.md: every example is one that the config takes, with the credential that its section names. */

const text = readFileSync(resolve(import.meta.dirname, "../../docs/attachments.md"), "utf8");

interface Example {
  readonly section: string;
  readonly kind: "token" | "userpass" | "signing_key";
  readonly attach: { readonly as: string };
}

const examples = text.split(/^## /m).flatMap((section): Example[] => {
  const kind = /^Credential: `kind: (token|userpass|signing_key)`/m.exec(section)?.[1] as Example["kind"];
  return [...section.matchAll(/```yaml\n([^]*?)```/g)].map(([, yaml = ""]) => ({
    section: section.slice(0, section.indexOf("\n")),
    kind,
    attach: (load(yaml) as { attach: Example["attach"] }).attach,
  }));
});

describe("docs/attachments.md", () => {
  test.each(examples)("$section: $attach", ({ section, kind, attach }) => {
    expect(attach.as).toBe(section);
    expect(problemsWith(attach, kind)).toEqual([]);
  });

  test("has a section for every kind that the config knows", () => {
    const kinds = attachSchema.options.map((option) => option.shape.as.value);
    for (const kind of kinds) expect(text).toContain(`\n## ${kind}\n`);
  });
});
