import { bareRelay } from "./bare-relay.ts";
import type { Contender } from "./contender.ts";
import { direct } from "./direct.ts";
import { haproxy } from "./haproxy.ts";
import { httpMitmProxy } from "./http-mitm-proxy.ts";
import { mockttp } from "./mockttp.ts";
import { postern } from "./postern.ts";
import { squid } from "./squid.ts";

/** Everybody who can take part, in the order of a round. */
export const contenders: readonly Contender[] = [direct, postern, squid, haproxy, mockttp, httpMitmProxy, bareRelay];
