import { startHttp2 } from "../../upstream/support/http2-server.ts";
import type { TestLeaf } from "./certificates.ts";
import type { Recorded } from "./recording.ts";
import type { Upstream } from "./upstream.ts";
import { upgrade } from "./websocket.ts";
import { upgraded } from "./ws-over-http2.ts";

export type WsUpstream = Pick<Upstream, "address" | "port" | "scheme" | "requests" | "reset" | "close">;

/**
 * The echo of `websocket.ts` for those who speak HTTP/2 and open a WebSocket by extended CONNECT (RFC 8441); there is
 * nothing else. @param authorization without which nobody is let in
 */
export async function startWsUpstream(tls: TestLeaf, authorization: string): Promise<WsUpstream> {
  const requests: Recorded[] = [];
  const server = await startHttp2(
    ({ stream, raw, session }) => {
      const valueOf = (name: string): string => raw[raw.indexOf(name) + 1] ?? "";
      const proofs = raw.filter((_, i) => i % 2 === 1 && raw[i - 1] === "authorization");
      const credential = proofs.length === 1 && proofs[0] === authorization;
      requests.push({
        method: valueOf(":method"),
        url: valueOf(":path"),
        httpVersion: "2.0",
        rawHeaders: raw,
        serverName: null,
        connection: session,
        credential,
        bodyBytes: 0,
        bodySha256: "",
        rawTrailers: [],
        body: "open",
      });
      if (!credential || valueOf(":protocol") !== "websocket") stream.respond({ ":status": 401 }, { endStream: true });
      else {
        const { request, socket } = upgraded(stream, raw);
        upgrade(request, socket, Buffer.alloc(0));
      }
    },
    { tls, settings: { enableConnectProtocol: true } },
  );
  return {
    address: "127.0.0.1",
    port: server.port,
    scheme: "https",
    requests,
    reset: () => void (requests.length = 0),
    close: () => server.close(),
  };
}
