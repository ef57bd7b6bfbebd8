import { INJECTED_AUTHORIZATION } from "../wire/fixtures.ts";
import type { Contender } from "./contender.ts";

/** No proxy: the guest holds the credential. The floor of every latency and the ceiling of the load generator. */
export const direct: Contender = {
  name: "direct",
  kind: "direct",
  inspect: () => ({ version: "" }),
  start: (stage) =>
    Promise.resolve({
      route: {
        kind: "direct",
        proxyPort: 0,
        upstream: stage.upstream,
        trust: stage.certificates.upstreamCa,
        authorization: INJECTED_AUTHORIZATION,
        pid: null,
      },
      logs: [],
      hasEnded: () => false,
      stop: () => Promise.resolve(),
    }),
};
