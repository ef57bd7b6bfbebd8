import { z } from "zod";
import { boundedText } from "../primitives.ts";
import { quoted } from "../problem.ts";
import { attachConfig } from "./attach-config.ts";

export const basic = attachConfig({
  schema: z
    .strictObject({
      as: z.literal("basic"),
      username: boundedText(255)
        .optional()
        .describe("User name that goes with a token; left out: the credential's `username`."),
    })
    .describe("`Authorization: Basic <user name:password>`."),
  spec(raw, entry, path, report) {
    const at = [...path, "username"];
    if (raw.username !== undefined && entry?.kind === "userpass") {
      report.add(at, `credential ${quoted(entry.name)} brings its own user name: leave this out`, true);
      return null;
    }
    // RFC 7617 §2: a colon would end the user name early.
    if (raw.username !== undefined && !/^[!-9;-~][ -9;-~]*$/.test(raw.username)) {
      report.add(at, `${quoted(raw.username)}: write printable ASCII characters without a colon`);
      return null;
    }
    // The lease of a token carries no user name: what the catalogue says is spelled out for the attachment.
    return { as: "basic", username: raw.username ?? (entry?.kind === "token" ? entry.username : null) };
  },
  fit(spec, entry, needs, path, report) {
    if (entry.kind !== "token" && entry.kind !== "userpass")
      needs("needs kind userpass, or token with a user name: write another `as:`");
    if (entry.kind === "token" && spec.username === null)
      report.add(path, `basic with a token needs a user name: write { as: basic, username: "..." }`);
  },
  places: () => ["header authorization"],
});
