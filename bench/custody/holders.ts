import { Authority } from "../../src/core/authority.ts";
import type { CustodyPort, LeaseGrant, LeaseRequest } from "../../src/core/custody.ts";
import type { Destination } from "../../src/core/destination.ts";
import { Permit, Session } from "../../src/core/exchange.ts";
import { zeroMaterial } from "../../src/core/material.ts";
import { Secret } from "../../src/core/secret.ts";
import { LeaseKeeper } from "../../src/custody/keeper.ts";
import { destinationHost } from "../wire/fixtures.ts";
import { openIssuer } from "./issuer.ts";
import { ManualClock } from "./manual-clock.ts";

/** The two that remember leases, each with the other one left out. */
export interface Holder {
  /** Sessions that were never heard of get a lease of each credential. */
  fill(sessions: number): Promise<void>;
  /** A quarter of an hour goes by, and the sessions are gone. */
  expire(): void;
  /** Leases that it remembers. */
  readonly size: number;
}

export const CREDENTIALS = 10;
const NAMES = Array.from({ length: CREDENTIALS }, (_, i) => `credential-${i}`);
/** The longest life of a lease, and how long custody knows an expired one by name, `ms`. */
const LONG_AFTER_MS = 15 * 60_000 + 60_000;

/** The ledger of custody. What was granted is zeroed and dropped, as a wire would have taken it. */
export function custodyHolder(): Holder {
  const clock = new ManualClock();
  const issuer = openIssuer(NAMES, clock, { record: async () => undefined, operated: async () => undefined });
  const caller = { name: "edge.bench.test", tenants: null };
  const signal = new AbortController().signal;
  let sessions = 0;
  return {
    async fill(count) {
      for (let i = 0; i < count; i++) {
        const session = { id: `session-${++sessions}`, tenant: "local", workspace: "default", subject: "guest" };
        for (const [c, credential] of NAMES.entries()) {
          const place = { host: destinationHost(c), port: 443, destination: `api-${c}` };
          const purpose = { purpose: "request", methodClass: "read" } as const;
          zeroMaterial((await issuer.issue(caller, { session, credential, ...place, ...purpose }, signal)).material);
        }
      }
    },
    expire() {
      clock.advance(LONG_AFTER_MS);
      issuer.ledger.tick();
    },
    get size() {
      return issuer.ledger.held.leases;
    },
  };
}

/** The keeper of an edge. @param most leases that it may hold; by itself it holds 10,000 */
export function edgeHolder(most: number): Holder {
  const clock = new ManualClock();
  const keeper = new LeaseKeeper({
    custodies: new Map([["main", new Grants()]]),
    clock,
    random: Math.random,
    maxEntries: most,
    maxEntriesPerSession: CREDENTIALS,
    follow: false,
    tickMs: 0,
  });
  const places = NAMES.map((name, c) => ({ destination: destinationOf(name, c), authority: authorityOf(c) }));
  let sessions = 0;
  let living: Session[] = [];
  return {
    async fill(count) {
      for (let i = 0; i < count; i++) {
        const id = `session-${++sessions}`;
        const session = Session.prove({ id, tenant: "local", workspace: "default", subject: "guest", roles: [] });
        living.push(session);
        for (const { authority, destination } of places)
          await keeper.lease(Permit.grant(session, authority, destination, "allow[0]"));
      }
    },
    expire() {
      clock.advance(LONG_AFTER_MS);
      keeper.tick();
      living = [];
    },
    get size() {
      return keeper.size;
    },
  };
}

function destinationOf(credential: string, index: number): Destination {
  return {
    name: `api-${index}`,
    scheme: "https",
    tls: "inspect",
    http: "auto",
    mode: "enforce",
    credential: { custody: "main", name: credential },
    attachments: [{ as: "bearer" }],
    dropHeaders: [],
    addresses: [],
    trust: null,
    synthetic: null,
    parent: null,
  };
}

function authorityOf(index: number): Authority {
  const authority = Authority.parse(`${destinationHost(index)}:443`, null);
  if (authority === null) throw new Error("the name of a destination is none");
  return authority;
}

/** A custody that says yes, and remembers nothing. */
class Grants implements CustodyPort {
  readonly timeoutMs = 10_000;
  #granted = 0;

  async lease({ credential, session, host, port }: LeaseRequest): Promise<LeaseGrant> {
    const id = (++this.#granted).toString(16).padStart(32, "0");
    return {
      leaseId: id,
      credential,
      material: { kind: "token", token: Secret.of(`bench-${id}`) },
      ttlMs: 900_000,
      maxUses: null,
      scope: { tenant: session.tenant, session: session.id, host, port },
      resourceRef: id.slice(0, 16),
      binding: null,
    };
  }

  sign = unasked;
  renew = unasked;
  revocations = unasked;
  release = () => Promise.resolve();
  health = () => Promise.resolve({ catalogue: null, problem: null });
}

function unasked(): Promise<never> {
  return Promise.reject(new Error("the bench does not ask for this"));
}
