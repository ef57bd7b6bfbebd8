import type { Socket } from "node:net";
import type { Denial } from "../core/denial.ts";
import type { GuestEnvironment } from "./environment.ts";
import type { ListenerOptions } from "./listener.ts";
import { openRecord } from "./record.ts";
import { refusalText } from "./refusal.ts";
import { NO_METHOD } from "./socks-handshake.ts";

/** Refuses a connection of which nothing was read, or nothing that could be answered: it is closed and written down. */
export function turnAway(
  environment: GuestEnvironment,
  options: ListenerOptions,
  socket: Socket,
  guest: string,
  denial: Denial,
): void {
  const { line, nextId } = environment;
  const record = openRecord(line.clock, nextId(), "connection", options.name, guest);
  record.denial = denial.code;
  record.detail = denial.detail;
  const answer = canRead(options, denial) ? answerFor(environment, options, denial, record.id) : "";
  if (answer === "") socket.destroy();
  else {
    record.status = denial.entry.status;
    socket.end(answer, "latin1", () => socket.destroy());
  }
  record.endedMs = line.clock.monotonicMs();
  line.account.close(record);
}

/** Whoever fails at what stands before the protocol may not speak it, and over TLS nothing can be said without a handshake. */
function canRead({ tls }: ListenerOptions, denial: Denial): boolean {
  return denial.code === "connection_limit" && tls === null;
}

/** Latin-1. */
function answerFor(
  { line }: GuestEnvironment,
  { protocol }: ListenerOptions,
  denial: Denial,
  correlationId: string,
): string {
  if (protocol === "socks5") return NO_METHOD;
  return refusalText(denial, { correlationId, headOnly: false, close: true, nowMs: line.clock.wallMs() });
}
