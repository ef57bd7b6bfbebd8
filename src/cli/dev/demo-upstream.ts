import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";

/** A small API on loopback that tells which credential it saw. */
export interface DemoUpstream {
  readonly port: number;
  close(): Promise<void>;
}

export async function startDemoUpstream(tls: { readonly cert: string; readonly key: string }): Promise<DemoUpstream> {
  const server = createServer({ cert: tls.cert, key: tls.key }, answer);
  const port = await listen(server);
  return {
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const credential = request.headers.authorization;
  request.resume();
  response.writeHead(credential === undefined ? 401 : 200, { "content-type": "application/json" });
  response.end(
    `${JSON.stringify({
      upstream: "demo",
      method: request.method,
      path: request.url,
      credential_seen: credential === undefined ? null : masked(credential),
    })}\n`,
  );
}

/** Scheme and the first four characters: enough to see that it is there, too little to use it. */
function masked(credential: string): string {
  const blank = credential.indexOf(" ") + 1;
  return `${credential.slice(0, blank + 4)}${"*".repeat(Math.max(0, credential.length - blank - 4))}`;
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (address === null || typeof address === "string") reject(new Error("no TCP address"));
      else resolve(address.port);
    });
  });
}
