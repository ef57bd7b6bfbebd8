import type { ServerResponse } from "node:http";
import { once } from "node:events";
import { expect } from "vitest";
import type { Program } from "./program.ts";
import { type Service, startService } from "./service.ts";

/** A service whose events a test sends by hand; it echoes WebSockets as well. */
export interface EventSource extends Service {
  /** Tells three events, each once the program has printed the one before; the last one is `stop`. */
  tell(program: Program): Promise<Telling>;
  /** Forgets what was asked. */
  reset(): void;
}

export interface Telling {
  /** Resolves when the program's request has ended upstream, which it is to break off. */
  readonly brokenOff: Promise<void>;
}

export async function startEventSource(): Promise<EventSource> {
  const arrived: ServerResponse[] = [];
  const service = await startService({
    demand: { in: "header", name: "authorization", value: "Bearer events-token-47aa" },
    secret: "events-token-47aa",
    destination: { attach: { as: "bearer" } },
    serve: (_request, response) => void arrived.push(response),
  });
  return {
    ...service,
    async tell(program) {
      await expect.poll(() => arrived.length, { interval: 5 }).toBe(1);
      const response = arrived[0] as ServerResponse;
      const closed = once(response, "close");
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const event of ["one", "two", "stop"]) {
        response.write(`data: ${event}\n\n`);
        await program.until(new RegExp(`^data: ${event}$`, "m"));
      }
      return {
        brokenOff: closed.then(() => {
          expect(response.writableFinished).toBe(false);
        }),
      };
    },
    reset() {
      arrived.length = 0;
      service.upstream.reset();
    },
  };
}
