import { isDeepStrictEqual } from "node:util";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { z } from "zod";
import { LeaseRefusal } from "../../core/custody.ts";
import type { RevocationTarget } from "../../core/revocation.ts";
import type { Issuer } from "../issuer.ts";
import {
  encodePage,
  encodeRevocation,
  decodeRevocationRequest,
  cursor,
  encodeLiveLease,
  targetOf,
} from "../wire-revocations.ts";
import { revocationRequestSchema } from "../wire-revocations.ts";
import { type Answers, goneSignal, idOf, Malformed } from "./answers.ts";

/** The longest that one question of the feed may wait, `ms`. */
export const MOST_FEED_WAIT_MS = 30_000;
/** Questions of one caller that may wait at one time: an edge asks one. */
const MOST_WAITING_OF_ONE = 64;
/** Entries of one list. */
const MOST_LISTED = 1_000;

const feedQuery = z.strictObject({ after: cursor.optional(), wait_ms: z.string().optional() });

const listQuery = z.strictObject({
  scope: revocationRequestSchema.shape.scope.default("all"),
  value: revocationRequestSchema.shape.value,
  tenant: revocationRequestSchema.shape.tenant,
  limit: z.string().optional(),
});

/** Revoking, lifting and listing for operators; the feed for edges. */
export function revocationRoutes(app: FastifyInstance, answers: Answers, issuer: Issuer): void {
  const { revocations, ledger, operations } = issuer;
  const waiting = new Map<string, number>();

  app.post(
    "/v1/revocations",
    answers.route("operate", async (caller, { body }) => {
      const asked = decodeRevocationRequest(body);
      if (asked === null) throw new Malformed();
      const { made, leases } = await operations.revoke(caller.name, asked.target, asked.reason);
      return { ...encodeRevocation(made, leftOf(made)), leases_ended: leases };
    }),
  );
  app.delete(
    "/v1/revocations/:id",
    answers.route("operate", async (caller, request) => {
      const lifted = await operations.lift(caller.name, idOf(request));
      return encodeRevocation(lifted, leftOf(lifted));
    }),
  );
  app.get(
    "/v1/revocations",
    answers.route("operate", (_caller, { query }) => {
      const limit = limitOf(parsed(z.strictObject({ limit: z.string().optional() }), query).limit);
      const listed = [...revocations.list()];
      const newest = listed.slice(-limit).map(({ revocation, leftMs }) => encodeRevocation(revocation, leftMs));
      return { total: listed.length, revocations: newest };
    }),
  );
  app.get(
    "/v1/revocations/feed",
    answers.route("lease", async (caller, request, reply) => {
      const { after = null, wait_ms: wait = "0" } = parsed(feedQuery, request.query);
      const waitMs = wholeOf(wait, MOST_FEED_WAIT_MS);
      const mine = waiting.get(caller.name) ?? 0;
      if (mine >= MOST_WAITING_OF_ONE) throw new LeaseRefusal("overloaded");
      waiting.set(caller.name, mine + 1);
      try {
        const page = await revocations.page(after, waitMs, caller.tenants, goneSignal(reply));
        // A reload may have made somebody else of who asked a while ago, or nobody: they ask anew, by the same cursor.
        if (!isDeepStrictEqual(answers.callerOf(request), caller)) throw new LeaseRefusal("caller_not_allowed");
        return encodePage(page);
      } finally {
        const left = (waiting.get(caller.name) ?? 1) - 1;
        if (left === 0) waiting.delete(caller.name);
        else waiting.set(caller.name, left);
      }
    }),
  );
  app.get(
    "/v1/leases",
    answers.route("operate", (_caller, request) => {
      const { limit, target } = leasesQuery(request);
      const leases = [];
      let total = 0;
      for (const lease of ledger.live(target))
        if (++total <= limit) leases.push(encodeLiveLease(lease, ledger.leftMs(lease)));
      return { total, leases };
    }),
  );

  function leftOf({ id, untilMs, madeAtMs }: { id: string; untilMs: number | null; madeAtMs: number }): number | null {
    for (const { revocation, leftMs } of revocations.list()) if (revocation.id === id) return leftMs;
    return untilMs === null ? null : untilMs - madeAtMs;
  }
}

function leasesQuery({ query }: FastifyRequest): { limit: number; target: RevocationTarget } {
  const { limit, ...given } = parsed(listQuery, query);
  const target = targetOf(given);
  if (target === null) throw new Malformed();
  return { limit: limitOf(limit), target };
}

/** @throws Malformed */
function parsed<T extends z.ZodType>(schema: T, query: unknown): z.output<T> {
  const found = schema.safeParse(query);
  if (!found.success) throw new Malformed();
  return found.data;
}

function limitOf(text: string | undefined): number {
  return Math.max(1, wholeOf(text ?? "100", MOST_LISTED));
}

/** @throws Malformed for what is no whole number from 0 to `most` */
function wholeOf(text: string, most: number): number {
  const value = /^(?:0|[1-9][0-9]{0,8})$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= most)) throw new Malformed();
  return value;
}
