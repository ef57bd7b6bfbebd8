import { createHash } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from "jose";
import type { TestLeaf } from "./certificates.ts";
import { upgrade } from "./websocket.ts";

export interface DpopOptions {
  readonly tls: TestLeaf;
  /** Tokens, and the RFC 7638 thumbprint that each is bound to. */
  readonly tokens: Readonly<Record<string, string>>;
  readonly speaks?: readonly ("h2" | "http/1.1")[];
}

export interface DpopRequest {
  readonly method: string;
  readonly path: string;
  readonly httpVersion: string;
  /** `ok`, or why it was refused. */
  readonly verdict: string;
  readonly authorization: string | null;
  readonly proof: string | null;
  readonly nonce: string | null;
  readonly body: string;
}

export interface DpopUpstream {
  readonly address: string;
  readonly port: number;
  readonly scheme: "https";
  readonly requests: readonly DpopRequest[];
  /** Whether proofs need a nonce, and for how many requests one is good. */
  nonces: "none" | "lasting" | "each once";
  /** The nonce that was good is good no more. */
  changeNonce(): void;
  reset(): void;
  close(): Promise<void>;
}

/** How old or new a proof may be, `s`. */
const WINDOW_S = 60;

/**
 * A protected resource of RFC 9449 over HTTP/1.1 and HTTP/2: it verifies each proof with `jose`, takes none twice, and asks for nonces.
 * `/echo` answers with what came in the fields.
 */
export async function startDpop({ tls, tokens, speaks = ["h2", "http/1.1"] }: DpopOptions): Promise<DpopUpstream> {
  const requests: DpopRequest[] = [];
  const sockets = new Set<Socket>();
  /** Proofs that were taken, by their ids. */
  const seen = new Set<string>();
  let made = 0;
  let nonce = "nonce-0";
  const changeNonce = (): void => {
    nonce = `nonce-${++made}`;
  };
  let port = 0;

  const verdictOf = async (
    request: Http2ServerRequest | IncomingMessage,
    upstream: DpopUpstream,
  ): Promise<[string, string | null]> => {
    const authorization = request.headers.authorization ?? "";
    const proof = request.headers["dpop"];
    const token = /^DPoP (.+)$/.exec(authorization)?.[1];
    const bound = token === undefined ? undefined : tokens[token];
    if (token === undefined || bound === undefined) return ["invalid_token", null];
    // Two fields would be joined here.
    if (typeof proof !== "string" || proof.includes(",")) return ["invalid_dpop_proof: one is needed", null];
    try {
      const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
        typ: "dpop+jwt",
        algorithms: ["ES256", "EdDSA"],
        requiredClaims: ["jti", "iat", "htm", "htu", "ath"],
      });
      const { jti, iat, htm, htu, ath, nonce: said } = payload as Readonly<Record<string, unknown>>;
      const authority = [request.headers[":authority"] ?? request.headers.host].flat().join();
      const uri = `https://${authority}${request.url?.split("?")[0] ?? ""}`;
      const fault = [
        [htm === request.method, "htm"],
        [htu === uri, `htu ${String(htu)} is not ${uri}`],
        [ath === createHash("sha256").update(token).digest("base64url"), "ath"],
        [Math.abs(Number(iat) - Date.now() / 1000) <= WINDOW_S, "iat"],
        [(await calculateJwkThumbprint(protectedHeader.jwk ?? {})) === bound, "jkt"],
        [typeof jti === "string" && !seen.has(jti), "jti was seen before"],
      ].find(([fits]) => fits === false);
      if (fault !== undefined) return [`invalid_dpop_proof: ${String(fault[1])}`, null];
      seen.add(String(jti));
      const shown = typeof said === "string" ? said : null;
      if (upstream.nonces !== "none" && shown !== nonce) return ["use_dpop_nonce", shown];
      if (upstream.nonces === "each once") changeNonce();
      return ["ok", shown];
    } catch (thrown) {
      return [`invalid_dpop_proof: ${String(thrown)}`, null];
    }
  };

  const serve = async (request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> => {
    const [verdict, shown] = await verdictOf(request, upstream);
    let body = "";
    const { authorization = null } = request.headers;
    const proof = request.headers["dpop"];
    const { method, url: path, httpVersion } = request;
    if (upstream.nonces !== "none") response.setHeader("DPoP-Nonce", nonce);
    const note = (): void => {
      const shownProof = typeof proof === "string" ? proof : null;
      requests.push({ method, path, httpVersion, verdict, authorization, proof: shownProof, nonce: shown, body });
    };
    if (verdict !== "ok") {
      note();
      const error = verdict.split(":")[0] ?? "";
      response.writeHead(401, { "www-authenticate": `DPoP error="${error}", algs="ES256 EdDSA"` });
      response.end(`${verdict}\n`);
      request.resume();
      return;
    }
    for await (const chunk of request) body += String(chunk);
    note();
    if (path.startsWith("/echo")) response.setHeader("X-Echo", `${authorization ?? ""} ${String(proof)}`);
    response.writeHead(200, { "content-type": "text/plain" });
    response.end("ok\n");
  };

  const server = createSecureServer(
    {
      cert: tls.certificate,
      key: tls.key,
      allowHTTP1: true,
      http1Options: { keepAliveTimeout: 60_000 },
      ALPNProtocols: [...speaks],
    },
    (request, response) => {
      // A guest that leaves in the middle of its body is no fault of this side.
      serve(request, response).catch(() => response.destroy());
    },
  );
  const onUpgrade = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const [verdict, shown] = await verdictOf(request, upstream);
    const { method = "", url: path = "", httpVersion } = request;
    const { authorization = null } = request.headers;
    const proof = String(request.headers["dpop"]);
    requests.push({ method, path, httpVersion, verdict, authorization, proof, nonce: shown, body: "" });
    if (verdict === "ok") upgrade(request, socket, head);
    else {
      const lines = [`WWW-Authenticate: DPoP error="${verdict}"`, `DPoP-Nonce: ${nonce}`, "Content-Length: 0"];
      socket.end(`HTTP/1.1 401 Unauthorized\r\n${lines.join("\r\n")}\r\n\r\n`);
    }
  };
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    onUpgrade(request, socket, head).catch(() => socket.destroy());
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("sessionError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
  const upstream: DpopUpstream = {
    address: "127.0.0.1",
    port,
    scheme: "https",
    requests,
    nonces: "lasting",
    changeNonce,
    reset() {
      requests.length = 0;
      upstream.nonces = "lasting";
    },
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
  return upstream;
}
