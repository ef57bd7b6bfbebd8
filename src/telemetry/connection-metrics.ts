import type { Registry } from "prom-client";
import { counterFamily, gaugeFamily, only } from "./families.ts";

/** Connections on both sides; `guest` and `upstream` are handed to the folders that open and close them. */
export class ConnectionMetrics {
  #guestOpen = 0;
  #guestOpened = 0;
  #tunnels = 0;
  #upstreamOpen = 0;
  #upstreamOpened = 0;
  #upstreamReused = 0;

  readonly guest = {
    connectionOpened: (): void => {
      this.#guestOpen++;
      this.#guestOpened++;
    },
    connectionClosed: (): void => {
      this.#guestOpen--;
    },
    tunnelOpened: (): void => {
      this.#tunnels++;
    },
    tunnelClosed: (): void => {
      this.#tunnels--;
    },
  };

  readonly upstream = {
    opened: (): void => {
      this.#upstreamOpen++;
      this.#upstreamOpened++;
    },
    reused: (): void => {
      this.#upstreamReused++;
    },
    closed: (): void => {
      this.#upstreamOpen--;
    },
  };

  constructor(registry: Registry) {
    gaugeFamily(registry, {
      name: "postern_guest_connections",
      help: "Guest connections that are open.",
      read: () => only(this.#guestOpen),
    });
    counterFamily(registry, {
      name: "postern_guest_connections_opened_total",
      help: "Guest connections that were accepted.",
      read: () => only(this.#guestOpened),
    });
    gaugeFamily(registry, {
      name: "postern_tunnels",
      help: "Tunnels that are open.",
      read: () => only(this.#tunnels),
    });
    gaugeFamily(registry, {
      name: "postern_upstream_connections",
      help: "Upstream connections that are open, idle ones included.",
      read: () => only(this.#upstreamOpen),
    });
    counterFamily(registry, {
      name: "postern_upstream_connections_opened_total",
      help: "Upstream connections that were made.",
      read: () => only(this.#upstreamOpened),
    });
    counterFamily(registry, {
      name: "postern_upstream_connections_reused_total",
      help: "Exchanges that found an open upstream connection.",
      read: () => only(this.#upstreamReused),
    });
  }
}
