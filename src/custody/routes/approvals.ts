import type { FastifyInstance } from "fastify";
import type { Clock } from "../../core/clock.ts";
import type { Issuer } from "../issuer.ts";
import { encodeApproval } from "../wire-revocations.ts";
import { type Answers, idOf } from "./answers.ts";

/** What waits for an operator, and the operator's word. */
export function approvalRoutes(app: FastifyInstance, answers: Answers, issuer: Issuer, clock: Clock): void {
  const { approvals, operations } = issuer;
  app.get(
    "/v1/approvals",
    answers.route("operate", () => {
      const nowMs = clock.monotonicMs();
      return { approvals: approvals.list().map((approval) => encodeApproval(approval, nowMs)) };
    }),
  );
  const decide = (yes: boolean) =>
    answers.route("operate", async (caller, request) =>
      encodeApproval(await operations.decide(caller.name, idOf(request), yes), clock.monotonicMs()),
    );
  app.post("/v1/approvals/:id/approve", decide(true));
  app.post("/v1/approvals/:id/deny", decide(false));
}
