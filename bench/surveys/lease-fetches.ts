import { readFileSync } from "node:fs";
import type { Running } from "../contenders/contender.ts";

/** How many leases an edge has been granted since its start, as its own metrics tell. */
export async function leaseFetches({ logs: [logFile = ""] }: Running): Promise<number> {
  const answer = await fetch(`http://${adminOf(readFileSync(logFile, "utf8"))}/metrics`);
  return grantedIn(await answer.text());
}

/** Address of the admin listener, from the log of an edge. */
export function adminOf(log: string): string {
  const ready = log.split("\n").find((line) => line.startsWith("{") && line.includes('"ready"'));
  const { admin } = JSON.parse(ready ?? "{}") as { readonly admin?: string };
  if (admin === undefined) throw new Error("the edge has not told where its admin listener is");
  return admin;
}

export function grantedIn(metrics: string): number {
  const lines = metrics.split("\n").filter((line) => /^postern_lease_fetches_total\{.*result="granted"/.test(line));
  if (lines.length === 0) throw new Error("the metrics tell of no leases");
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}
