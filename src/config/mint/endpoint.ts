import { isLoopbackHost } from "../../core/loopback.ts";
import { z } from "zod";
import type { IssuerEndpoint } from "../../core/mint.ts";
import { boundedText, pathText, whole } from "../primitives.ts";
import { quoted } from "../problem.ts";
import type { MintContext } from "./mint-config.ts";

/** How an issuer is reached; the same keys for every minter that calls one. */
export const endpointSchema = z.strictObject({
  url: boundedText(2000).describe("Its URL, over https."),
  ca: pathText.optional().describe("PEM file of roots that replace the system's for this issuer."),
  timeout_ms: whole(100, 60_000, 5000, "One call in all: connecting, asking and reading, `ms`."),
  plain_http: z
    .literal("accept")
    .optional()
    .describe("Spelled out where the issuer is on this very machine and speaks http; never for another one."),
});

export type RawEndpoint = z.output<typeof endpointSchema>;

/** @param key where it stands in `mint:` */
export function endpointOf(raw: RawEndpoint, key: string, { path, report, files }: MintContext): IssuerEndpoint {
  const here = [...path, key];
  const fault = urlFault(raw.url, raw.plain_http !== undefined);
  if (fault !== null) report.add([...here, "url"], fault);
  return Object.freeze({
    url: fault === null ? new URL(raw.url).href : raw.url,
    ca: raw.ca === undefined ? null : report.take(here, files.roots(raw.ca), "ca"),
    timeoutMs: raw.timeout_ms,
  });
}

/** What is wrong with an issuer's URL. The text is shown up to its path alone: a query may hold a secret. */
function urlFault(text: string, isPlainAccepted: boolean): string | null {
  const url = URL.parse(text);
  if (url === null || url.host === "" || !/^https?:$/.test(url.protocol))
    return "is no URL: write one such as https://login.example.com/oauth2/token";
  const shown = quoted(`${url.protocol}//${url.host}${url.pathname}`);
  if (url.username !== "" || url.password !== "") return `${shown}: holds a user name or password: leave it out`;
  if (url.search !== "" || url.hash !== "") return `${shown}: write it without query and fragment`;
  if (url.protocol === "https:") return null;
  if (!isLoopbackHost(url.hostname)) return `${shown}: secrets would travel readable: write https`;
  return isPlainAccepted ? null : `${shown}: write https, or accept it on this machine with plain_http: accept`;
}
