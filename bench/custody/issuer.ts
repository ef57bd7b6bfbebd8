import { randomBytes } from "node:crypto";
import type { Clock } from "../../src/core/clock.ts";
import type { IssueAudit } from "../../src/core/custody.ts";
import { Catalogue } from "../../src/custody/catalogue.ts";
import { Issuer } from "../../src/custody/issuer.ts";
import { INJECTED_TOKEN, ZONE } from "../wire/fixtures.ts";

/** An issuer as the edge makes it for embedded custody, with a token under each of these names. */
export function openIssuer(names: readonly string[], clock: Clock, audit: IssueAudit): Issuer {
  const warn = (text: string): void => {
    process.stderr.write(`${text}\n`);
  };
  const environment = { BENCH_CREDENTIAL: INJECTED_TOKEN };
  const entries = names.map((name) => ({
    name,
    kind: "token" as const,
    username: null,
    keyId: null,
    keyAt: null,
    source: { from: "env" as const, variable: "BENCH_CREDENTIAL" },
    mint: null,
    hosts: [`*.${ZONE}:443`],
    tenants: null,
    ttlSeconds: 900,
    maxUses: null,
    approval: false,
  }));
  return new Issuer({
    catalogue: Catalogue.open(entries, { clock, environment, uid: process.getuid?.() ?? null, warn, randomBytes }),
    audit,
    clock,
    newId: () => randomBytes(16).toString("hex"),
    salt: randomBytes(32),
    warn,
  });
}
