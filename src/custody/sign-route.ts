import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { LeaseRefusal, type LeaseRefusalReason } from "../core/custody.ts";
import type { Caller, Issuer } from "./issuer.ts";
import { signRequestSchema } from "./sign-wire.ts";

/** What the route takes from the server that it is a part of. */
export interface SignServer {
  readonly issuer: Issuer;
  callerOf(request: FastifyRequest): Caller | null;
  malformed(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply>;
  refuse(reply: FastifyReply, caller: Caller, reason: LeaseRefusalReason): FastifyReply;
  answered(reply: FastifyReply, caller: Caller): void;
}

/** `POST /v1/leases/{id}/sign`: a proof by the key of a lease that custody keeps. */
export function signRoute(app: FastifyInstance, server: SignServer): void {
  app.post<{ readonly Params: { readonly id: string } }>("/v1/leases/:id/sign", async (request, reply) => {
    const caller = server.callerOf(request);
    const asked = signRequestSchema.safeParse(request.body);
    if (caller === null || !asked.success) return server.malformed(request, reply);
    let signature: string;
    try {
      signature = server.issuer.sign(caller, request.params.id, asked.data.input);
    } catch (thrown) {
      return server.refuse(reply, caller, thrown instanceof LeaseRefusal ? thrown.reason : "source_unavailable");
    }
    server.answered(reply, caller);
    return reply
      .code(200)
      .type("application/json")
      .header("cache-control", "no-store")
      .send(JSON.stringify({ signature }));
  });
}
