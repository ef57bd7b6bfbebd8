import type { FastifyReply, FastifyRequest } from "fastify";
import { LeaseRefusal, type LeaseRefusalReason } from "../../core/custody.ts";
import { Denial } from "../../core/denial.ts";
import type { BadInput } from "../bad-input.ts";
import type { CallerLimits } from "../caller-limits.ts";
import type { Callers } from "../callers.ts";
import type { Caller, CallerRight } from "../caller.ts";
import { encodeProblem, PROBLEM_TYPE } from "../problem.ts";

/** One answer, for the log. Nothing in it is secret. */
export interface AnsweredEvent {
  readonly caller: string;
  readonly status: number;
  /** `null` for whatever is no refusal. */
  readonly reason: LeaseRefusalReason | null;
  readonly durationMs: number;
}

/** What a route does once it is known who asks. What it throws is the refusal. */
export type Served = (caller: Caller, request: FastifyRequest, reply: FastifyReply) => unknown;

/** A body, a path or a query that does not follow the schema. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

export interface AnswersOptions {
  readonly callers: () => Callers;
  readonly badInput: BadInput;
  readonly limits: CallerLimits;
  readonly answered: (event: AnsweredEvent) => void;
}

/** How every route answers: who asks and what they may first, one token of theirs, then JSON or a refusal by name. */
export class Answers {
  readonly #options: AnswersOptions;

  constructor(options: AnswersOptions) {
    this.#options = options;
  }

  /** @param right `null` = whoever may ask anything may ask this */
  route(right: CallerRight | null, serve: Served) {
    return this.#route(right, serve, true);
  }

  /** The same without a token of the caller's: for what has a rate of its own. */
  unlimited(right: CallerRight | null, serve: Served) {
    return this.#route(right, serve, false);
  }

  #route(right: CallerRight | null, serve: Served, isLimited: boolean) {
    return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      const caller = this.callerOf(request);
      if (caller === null || (right !== null && !mayDo(caller, right)))
        return this.refuse(reply, caller, "caller_not_allowed");
      const waitSeconds = isLimited ? this.#options.limits.take(caller.name) : 0;
      if (waitSeconds > 0) return this.refuse(reply.header("retry-after", String(waitSeconds)), caller, "overloaded");
      try {
        const body = await serve(caller, request, reply);
        return this.#send(reply, caller, JSON.stringify(body));
      } catch (thrown) {
        if (thrown instanceof Malformed) return this.malformed(request, reply);
        // What nobody foresaw is told as such by the server, not as a refusal.
        if (!(thrown instanceof Denial)) throw thrown;
        return this.refuse(reply, caller, thrown instanceof LeaseRefusal ? thrown.reason : "source_unavailable");
      }
    };
  }

  callerOf({ raw }: FastifyRequest): Caller | null {
    return this.#options.callers().of(raw.socket);
  }

  malformed(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const caller = this.callerOf(request);
    if (caller !== null) this.#options.badInput.count(caller.name);
    return this.refuse(reply, caller, "request_malformed");
  }

  refuse(reply: FastifyReply, caller: Caller | null, reason: LeaseRefusalReason): FastifyReply {
    const problem = encodeProblem(reason);
    this.#answered(reply, caller, problem.status, reason);
    // A caller that is told to go away does not keep its connection.
    if (reason === "draining" || reason === "caller_not_allowed" || reason === "overloaded")
      reply.header("connection", "close");
    if (reason === "overloaded" && !reply.hasHeader("retry-after")) reply.header("retry-after", "1");
    return reply.code(problem.status).type(PROBLEM_TYPE).send(JSON.stringify(problem));
  }

  #send(reply: FastifyReply, caller: Caller, body: string): FastifyReply {
    this.#answered(reply, caller, 200, null);
    return reply.code(200).header("cache-control", "no-store").type("application/json").send(body);
  }

  #answered(reply: FastifyReply, caller: Caller | null, status: number, reason: LeaseRefusalReason | null): void {
    const durationMs = Math.round(reply.elapsedTime);
    this.#options.answered({ caller: caller?.name ?? "unknown", status, reason, durationMs });
  }
}

/** What is not said is not allowed, but for leasing, which is what callers are there for. */
function mayDo({ may = ["lease"] }: Caller, right: CallerRight): boolean {
  return may.includes(right);
}

/** Aborts once the one who asked is gone. */
export function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once("close", () => gone.abort());
  return gone.signal;
}

/** The id in the path. @throws Malformed when it is none */
export function idOf({ params }: FastifyRequest): string {
  const { id } = params as { readonly id?: unknown };
  if (typeof id !== "string" || !/^[\x21-\x7e]{1,128}$/.test(id)) throw new Malformed();
  return id;
}
