import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type HeldLease, LeaseRefusal } from "../../core/custody.ts";
import { zeroMaterial } from "../../core/material.ts";
import type { CallerLimits } from "../caller-limits.ts";
import type { Caller } from "../caller.ts";
import type { Issuer } from "../issuer.ts";
import { decodeLeaseRequest, encodeLeaseGrant } from "../wire.ts";
import { leaseHolderSchema, WAIT_HEADER, waitOf } from "../wire-schema.ts";
import { within } from "../within.ts";
import { type Answers, goneSignal, idOf, Malformed } from "./answers.ts";

/** `POST /v1/leases`, and what becomes of a lease: `renew`, `release`. */
export function leaseRoutes(app: FastifyInstance, answers: Answers, issuer: Issuer, limits: CallerLimits): void {
  app.post(
    "/v1/leases",
    answers.route("lease", async (caller, request, reply) => {
      const asked = decodeLeaseRequest(request.body);
      if (asked === null) throw new Malformed();
      const waitSeconds = limits.takeOf(caller.name, asked.session.tenant, asked.session.id);
      if (waitSeconds > 0) reply.header("retry-after", String(waitSeconds));
      if (waitSeconds > 0 || !limits.enter(caller.name)) throw new LeaseRefusal("overloaded");
      const limitMs = issuer.longestIssueMs + 2_000;
      const grant = await within(
        Math.min(waitOf(request.headers[WAIT_HEADER]) ?? limitMs, limitMs),
        goneSignal(reply),
        // It counts until it is over, not until nobody waits for it: a disk that hangs would gather them without end.
        (signal) => issuer.issue(caller, asked, signal).finally(() => limits.leave(caller.name)),
        (late) => {
          zeroMaterial(late.material);
          issuer.abandon(late);
        },
      );
      const body = encodeLeaseGrant(grant);
      zeroMaterial(grant.material);
      return body;
    }),
  );
  app.post(
    "/v1/leases/:id/renew",
    answers.route("lease", async (caller, request) => {
      const held = heldBy(request);
      return { lease_id: held.leaseId, ttl_ms: await issuer.renew(caller, held) };
    }),
  );
  app.post(
    "/v1/leases/:id/release",
    answers.route("lease", async (caller: Caller, request: FastifyRequest, _reply: FastifyReply) => {
      const held = heldBy(request);
      await issuer.release(caller, held);
      return { lease_id: held.leaseId };
    }),
  );
}

/** @throws Malformed */
function heldBy(request: FastifyRequest): HeldLease {
  const parsed = leaseHolderSchema.safeParse(request.body);
  if (!parsed.success) throw new Malformed();
  return { leaseId: idOf(request), ...parsed.data };
}
