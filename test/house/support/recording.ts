import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

/** What a credential looks like when it is there. */
export type Demand =
  | { readonly in: "header"; readonly name: string; readonly value: string }
  | { readonly in: "query"; readonly name: string; readonly value: string }
  | { readonly in: "cookie"; readonly name: string; readonly value: string };

/** One request as the upstream saw it. It is recorded when its head arrived; the body's figures fill in afterwards. */
export interface Recorded {
  readonly method: string;
  /** Request target, raw. */
  readonly url: string;
  readonly httpVersion: string;
  /** Names and values in turn, order and case of the wire, values as Latin-1. */
  readonly rawHeaders: readonly string[];
  /** SNI of the connection, `null` on plain HTTP or without one. */
  readonly serverName: string | null;
  /** Counts connections from 1: equal numbers shared one. */
  readonly connection: number;
  /** Whether the demanded credential was there, exactly once. */
  readonly credential: boolean;
  bodyBytes: number;
  /** Hex; of what had arrived when the body ended or broke. */
  bodySha256: string;
  rawTrailers: readonly string[];
  /** `open` until the body has ended (`complete`) or the connection broke before that (`broken`). */
  body: "open" | "complete" | "broken";
}

/** All values of a field (lower-case name) in a recorded request. */
export function valuesOf(recorded: Recorded, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < recorded.rawHeaders.length; i += 2) {
    if (recorded.rawHeaders[i]?.toLowerCase() === name) values.push(recorded.rawHeaders[i + 1] as string);
  }
  return values;
}

/** Takes the record of a request and follows its body without taking it away from the route. */
export function record(request: IncomingMessage, demand: Demand | null, connection: number): Recorded {
  const socket: Socket = request.socket;
  const name = socket instanceof TLSSocket ? (socket.servername ?? false) : false;
  const recorded: Recorded = {
    method: request.method ?? "",
    url: request.url ?? "",
    httpVersion: request.httpVersion,
    rawHeaders: request.rawHeaders,
    serverName: typeof name === "string" && name !== "" ? name : null,
    connection,
    credential: demand === null || holds(demand, request),
    bodyBytes: 0,
    bodySha256: "",
    rawTrailers: [],
    body: "open",
  };
  followBody(request, recorded);
  return recorded;
}

/**
 * `push` is where the parser hands over body bytes: to look there leaves the flow of the stream, and so the back-pressure
 * towards the sender, to the route alone.
 */
function followBody(request: IncomingMessage, recorded: Recorded): void {
  const hash = createHash("sha256");
  const push = request.push.bind(request);
  const settle = (body: "complete" | "broken"): void => {
    if (recorded.body !== "open") return;
    recorded.body = body;
    recorded.bodySha256 = hash.digest("hex");
    recorded.rawTrailers = request.rawTrailers;
  };
  request.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
    if (recorded.body === "open") {
      if (chunk === null) settle(request.complete ? "complete" : "broken");
      else {
        hash.update(chunk);
        recorded.bodyBytes += chunk.length;
      }
    }
    return push(chunk, encoding);
  };
  request.on("close", () => settle("broken"));
}

function holds(demand: Demand, request: IncomingMessage): boolean {
  const found = spots(demand, request);
  return found.length === 1 && found[0] === demand.value;
}

function spots(demand: Demand, request: IncomingMessage): string[] {
  switch (demand.in) {
    case "header":
      return rawValues(request, demand.name);
    case "query":
      return new URL(request.url ?? "/", "http://upstream").searchParams.getAll(demand.name);
    case "cookie":
      return rawValues(request, "cookie")
        .flatMap((line) => line.split("; "))
        .filter((pair) => pair.startsWith(`${demand.name}=`))
        .map((pair) => pair.slice(demand.name.length + 1));
  }
}

function rawValues(request: IncomingMessage, name: string): string[] {
  return request.rawHeaders.filter(
    (_, i) => i % 2 === 1 && request.rawHeaders[i - 1]?.toLowerCase() === name.toLowerCase(),
  );
}
