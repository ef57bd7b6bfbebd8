import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { BULK_BYTES, INJECTED_AUTHORIZATION, JSON_BODY } from "../wire/fixtures.ts";
import { MessageReader } from "../wire/message-reader.ts";
import { serveJobs } from "../wire/worker.ts";

/**
 * The upstream: a raw server that costs as little as it can, over TLS and plain. It answers `/json` with 1 KB, `/download`
 * with 100 MB, swallows uploads, and refuses (and counts) whatever does not carry exactly the injected credential.
 */

export type UpstreamJob =
  | { readonly kind: "listen"; readonly key: string; readonly certificate: string }
  | { readonly kind: "counts" };
export interface UpstreamPorts {
  readonly tlsPort: number;
  readonly plainPort: number;
}
export interface UpstreamCounts {
  readonly served: number;
  /** Requests that came without the injected credential, or with another one beside it. */
  readonly uninjected: number;
}

const counts = { served: 0, uninjected: 0 };

const JSON_ANSWER = Buffer.concat([
  Buffer.from(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncache-control: no-store\r\ncontent-length: ${JSON_BODY.length}\r\n\r\n`,
  ),
  JSON_BODY,
]);
const DOWNLOAD_HEAD = Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncache-control: no-store\r\ncontent-length: ${BULK_BYTES}\r\n\r\n`,
);
const REFUSAL = Buffer.from("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
const BLOCK = Buffer.alloc(65_536, "postern ");

serveJobs(async (job: UpstreamJob) => {
  if (job.kind === "counts") return counts;
  const key = readFileSync(job.key);
  const cert = readFileSync(job.certificate);
  // One curve for all, so that no contender pays for a hybrid key exchange that another one does not know.
  const tlsServer = createTlsServer({ key, cert, ecdhCurve: "X25519", noDelay: true }, serve);
  tlsServer.on("tlsClientError", () => undefined); // a contender may hang up in the middle of a handshake
  const plainServer = createServer({ noDelay: true }, serve);
  return { tlsPort: await listen(tlsServer), plainPort: await listen(plainServer) } satisfies UpstreamPorts;
});

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen(0, "127.0.0.1", 4096, () => resolve((server.address() as AddressInfo).port));
  });
}

function serve(socket: Socket): void {
  let answer: "json" | "download" | "refusal" = "json";
  const reader = new MessageReader({
    head(head) {
      const download = head.startsWith("GET /download ");
      if (!carriesCredential(head)) answer = "refusal";
      else answer = download ? "download" : "json";
    },
    body() {
      // Uploads are swallowed.
    },
    end() {
      counts.served++;
      if (answer === "json") socket.write(JSON_ANSWER);
      else if (answer === "download") sendBulk(socket);
      else {
        counts.uninjected++;
        socket.write(REFUSAL);
      }
    },
  });
  socket.on("data", (chunk: Buffer) => {
    try {
      reader.push(chunk);
    } catch {
      socket.destroy(); // the contender sees a broken upstream, which fails its sample
    }
  });
  socket.on("error", () => socket.destroy());
}

/** Exactly one Authorization field, and it is the injected one. */
function carriesCredential(head: string): boolean {
  const first = fieldIndex(head, 0);
  if (first < 0 || fieldIndex(head, first + 2) >= 0) return false;
  const end = head.indexOf("\r\n", first + 2);
  return head.slice(head.indexOf(":", first) + 1, end).trim() === INJECTED_AUTHORIZATION;
}

function fieldIndex(head: string, from: number): number {
  const pattern = /\r\nauthorization:/gi;
  pattern.lastIndex = from;
  return pattern.exec(head)?.index ?? -1;
}

function sendBulk(socket: Socket): void {
  let left = BULK_BYTES;
  socket.write(DOWNLOAD_HEAD);
  const pump = (): void => {
    while (left > 0) {
      const block = left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left);
      left -= block.length;
      if (!socket.write(block)) {
        if (left > 0) socket.once("drain", pump);
        return;
      }
    }
  };
  pump();
}
