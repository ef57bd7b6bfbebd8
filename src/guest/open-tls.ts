import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Authority } from "../core/authority.ts";
import { Denial } from "../core/denial.ts";
import type { SessionProof } from "../core/wire.ts";
import { GuestConnection } from "./connection.ts";
import type { GuestEnvironment } from "./environment.ts";
import { Http2GuestConnection } from "./http2/connection.ts";
import type { ConnectionPlace, TunnelPlace } from "./place.ts";

/**
 * Ends TLS on the very socket that was accepted and serves what is inside.
 * @param socket released by its connection; the first bytes of the hello are in it
 * @throws Denial `request_timeout`, `tunnel_unsupported`
 */
export function openTls(
  environment: GuestEnvironment,
  place: ConnectionPlace,
  socket: Socket,
  authority: Authority,
  proof: SessionProof,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = {
      isServer: true,
      secureContext: environment.leaves.contextFor(authority),
      allowHalfOpen: true,
      ALPNCallback: environment.limits.http2Streams > 0 ? chooseProtocol : chooseHttp1,
    };
    const secured = new TLSSocket(socket, options);
    const timer = setTimeout(() => {
      secured.destroy();
      reject(new Denial("request_timeout", { cause: "no TLS handshake in time" }));
    }, environment.timeouts.tlsHelloMs);
    const failed = (error?: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new Denial("tunnel_unsupported", { cause: error ?? "the guest closed during the TLS handshake" }));
    };
    const onClose = (): void => failed();
    secured.on("error", failed);
    secured.on("close", onClose);
    secured.once("secure", () => {
      clearTimeout(timer);
      secured.off("close", onClose);
      secured.off("error", failed);
      // Node tells a TLS socket that no tls.Server made of broken records by this event alone, and leaves it open.
      secured.on("_tlsError", () => secured.destroy());
      const refusal = serverNameProblem(secured, authority);
      const tunnel = { scheme: "https", authority, proof, refusal } as const;
      if (secured.alpnProtocol === "h2") {
        // Only a tls.Server clears it, and an HTTP/2 session would wait for that for ever.
        Reflect.set(secured, "secureConnecting", false);
        serveHttp2Inside(environment, place, secured, tunnel);
      } else serveInside(environment, place, secured, tunnel);
      resolve();
    });
  });
}

/** The hello's name must be the tunnel's; only an address literal may come without one (RFC 6066 §3). */
function serverNameProblem(socket: TLSSocket, authority: Authority): "sni_missing" | "sni_mismatch" | null {
  const name: unknown = Reflect.get(socket, "servername");
  if (typeof name !== "string" || name === "") return authority.ip === null ? "sni_missing" : null;
  return name.toLowerCase() === authority.host ? null : "sni_mismatch";
}

/**
 * Which of the two a client names first (RFC 7301 §3.2: the server chooses). Nearly all that speak HTTP/2 name it first; undici,
 * and with it Node's own fetch and WebSocket, does not, for its HTTP/2 is not finished.
 */
function chooseProtocol(offer: { protocols: string[] }): string | undefined {
  return offer.protocols.find((protocol) => protocol === "h2" || protocol === "http/1.1") ?? chooseHttp1(offer);
}

/** HTTP/1.1 where it is offered; an unknown offer is echoed and answered inside; what is left gets the alert (RFC 7301 §3.2). */
function chooseHttp1({ protocols }: { protocols: string[] }): string | undefined {
  if (protocols.includes("http/1.1")) return "http/1.1";
  return protocols.find((protocol) => protocol !== "h2" && protocol !== "h3");
}

/** Serves HTTP/1.1 on the inside of a tunnel, for as long as the tunnel may live. */
export function serveInside(
  environment: GuestEnvironment,
  place: ConnectionPlace,
  socket: Socket,
  tunnel: TunnelPlace,
): void {
  const inside = placeInside(environment, place, socket, tunnel);
  environment.onConnection(new GuestConnection(socket, inside, environment, null));
  socket.resume();
}

/** The same for HTTP/2. */
export function serveHttp2Inside(
  environment: GuestEnvironment,
  place: ConnectionPlace,
  socket: Socket,
  tunnel: TunnelPlace,
): void {
  const inside = placeInside(environment, place, socket, tunnel);
  environment.onConnection(new Http2GuestConnection(socket, inside, environment));
}

function placeInside(
  environment: GuestEnvironment,
  place: ConnectionPlace,
  socket: Socket,
  tunnel: TunnelPlace,
): ConnectionPlace & { readonly tunnel: TunnelPlace } {
  const endsAtMs = environment.line.clock.monotonicMs() + environment.timeouts.tunnelLifeMs;
  environment.events.tunnelOpened();
  socket.once("close", () => environment.events.tunnelClosed());
  return { ...place, tunnel, endsAtMs };
}
