import type { Denial } from "../core/denial.ts";
import { SOCKS_REPLY, type SocksReply } from "./socks-grammar.ts";

/** The reply code (RFC 1928 §6) that tells a SOCKS guest of a denial as well as so few codes can. */
export function socksCodeOf(denial: Denial): SocksReply {
  switch (denial.code) {
    case "name_unresolved":
    case "upstream_timeout":
      return SOCKS_REPLY.hostUnreachable;
    case "upstream_unreachable":
      return wasRefused(denial.cause) ? SOCKS_REPLY.connectionRefused : SOCKS_REPLY.hostUnreachable;
    case "address_denied":
    case "loop_detected":
      return SOCKS_REPLY.notAllowed;
    default:
      return RULE_STAGES.has(denial.entry.stage) ? SOCKS_REPLY.notAllowed : SOCKS_REPLY.generalFailure;
  }
}

/** Who asks and what for: "connection not allowed by ruleset". */
const RULE_STAGES: ReadonlySet<string> = new Set(["identify", "permit"]);

function wasRefused(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED";
}
