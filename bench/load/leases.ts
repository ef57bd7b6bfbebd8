import { readFileSync } from "node:fs";
import type { Asking } from "../custody/ask.ts";
import { CUSTODY_NAME } from "../wire/fixtures.ts";
import type { Measured, Tally } from "./window.ts";

/** Leases from a custody that is a process of its own, over mutual TLS. */
export interface LeasesJob extends Asking {
  readonly kind: "leases";
  /** Of custody, with the port that it listens on. */
  readonly custody: Measured & { readonly port: number };
  /** PEM files. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

const TIMEOUT_MS = 10_000;

export async function leases({ custody: { pid, port }, ca, certificate, key, ...asking }: LeasesJob): Promise<Tally> {
  // Its HTTP client and its schemas are of no use to any other job.
  const [{ RemoteCustody }, { tallyLeases }] = await Promise.all([
    import("../../src/custody/remote.ts"),
    import("../custody/ask.ts"),
  ]);
  const custody = new RemoteCustody({
    address: { kind: "tcp", host: "127.0.0.1", port },
    tls: { ca: text(ca), certificate: text(certificate), key: text(key), serverName: CUSTODY_NAME },
    timeoutMs: TIMEOUT_MS,
  });
  try {
    return await tallyLeases(custody, { pid }, asking);
  } finally {
    await custody.close();
  }
}

function text(file: string): string {
  return readFileSync(file, "utf8");
}
