import { z } from "zod";
import { fieldNameFault } from "../field-name.ts";
import { boundedText } from "../primitives.ts";
import { attachConfig } from "./attach-config.ts";
import { isText } from "./text-kinds.ts";

export const header = attachConfig({
  schema: z
    .strictObject({
      as: z.literal("header"),
      name: boundedText(200).describe("Field name, such as `x-api-key`."),
      format: boundedText(500).default("{token}").describe("Field value; `{token}` is where the credential goes."),
    })
    .describe("A header field of its own."),
  spec(raw, _entry, path, report) {
    const lower = raw.name.toLowerCase();
    const fault = lower === "cookie" ? 'write { as: cookie, name: "..." }' : fieldNameFault(raw.name);
    if (fault !== null) {
      report.add([...path, "name"], fault);
      return null;
    }
    if (!/\{(?:token|value|password)\}/.test(raw.format)) {
      report.add(
        [...path, "format"],
        'has no place for the credential: write it with {token}, such as "Token {token}"',
      );
      return null;
    }
    if (!/^[!-~](?:[\t -~]*[!-~])?$/.test(raw.format)) {
      report.add([...path, "format"], "write printable ASCII characters, no blank at either end");
      return null;
    }
    return { as: "header", name: raw.name, format: raw.format };
  },
  fit(spec, entry, needs) {
    if (isText(entry, needs) && entry.kind !== "userpass" && spec.format.includes("{username}"))
      needs("with {username} needs kind userpass: write the format without it");
  },
  places: (spec) => [`header ${spec.name.toLowerCase()}`],
});
