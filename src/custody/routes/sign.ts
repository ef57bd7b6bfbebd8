import type { FastifyInstance } from "fastify";
import type { Issuer } from "../issuer.ts";
import { signRequestSchema } from "../sign-wire.ts";
import { type Answers, idOf, Malformed } from "./answers.ts";

/** `POST /v1/leases/{id}/sign`: a proof by the key of a lease that custody keeps. Each lease has a rate of its own. */
export function signRoute(app: FastifyInstance, answers: Answers, issuer: Issuer): void {
  app.post(
    "/v1/leases/:id/sign",
    answers.unlimited("lease", (caller, request) => {
      const asked = signRequestSchema.safeParse(request.body);
      if (!asked.success) throw new Malformed();
      return { signature: issuer.sign(caller, idOf(request), asked.data.input) };
    }),
  );
}
