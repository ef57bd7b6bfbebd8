import type { UpstreamPorts } from "../upstream/ports.ts";

/** How the load generator reaches the upstream through one contender. */
export interface Route {
  /**
   * `direct`: no proxy. `forward`: CONNECT, absolute-form. `reverse`: TLS to the proxy, which knows its upstreams by the
   * Host. `relay`: CONNECT and nothing but bytes behind it.
   */
  readonly kind: "direct" | "forward" | "reverse" | "relay";
  /** The contender's guest port; for `direct` unused. */
  readonly proxyPort: number;
  readonly upstream: UpstreamPorts;
  /** PEM file with the CA that must have signed the certificate the guest sees. */
  readonly trust: string;
  /** Authorization value that the guest sends by itself. */
  readonly authorization: string;
  /** Root of the contender's process tree, or `null` when there is none to account for. */
  readonly pid: number | null;
}
