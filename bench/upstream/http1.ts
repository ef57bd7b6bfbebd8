import type { Socket } from "node:net";
import { BULK_BYTES, INJECTED_AUTHORIZATION, JSON_BODY } from "../wire/fixtures.ts";
import { MessageReader } from "../wire/message-reader.ts";
import { counts } from "./counts.ts";
import { startEvents } from "./events.ts";
import { sendBulk } from "./send-bulk.ts";
import { isForSigned, SignatureCheck } from "./signed.ts";
import { startEcho } from "./websocket.ts";

/**
 * HTTP/1.1 on one connection: `/json` is answered with 1 KB, `/download` with 100 MB, `/events` with events that do not end,
 * `/socket` with a WebSocket that echoes; uploads are swallowed, and whatever does not carry exactly the injected credential,
 * or the signature in its place, is refused and counted.
 */

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

type Answer = "json" | "download" | "events" | "socket" | "refusal";

export function serveHttp1(socket: Socket): void {
  let answer: Answer = "json";
  let head = "";
  /** From the first request to the destination that is signed for: a connection has one host. */
  let signatures: SignatureCheck | null = null;
  /** Takes what comes once the connection is no HTTP any more. */
  let echo: ((chunk: Buffer) => void) | null = null;
  const reader = new MessageReader({
    head(arrived) {
      head = arrived;
      if (isForSigned(arrived)) signatures ??= new SignatureCheck();
      const isGood = signatures === null ? carriesCredential(arrived) : signatures.head(arrived);
      answer = isGood ? answerTo(arrived) : "refusal";
    },
    body(chunk, start, end) {
      // Uploads are swallowed.
      signatures?.body(chunk, start, end);
    },
    end() {
      counts.served++;
      if (signatures?.end() === false) answer = "refusal";
      switch (answer) {
        case "json":
          socket.write(JSON_ANSWER);
          break;
        case "download":
          socket.write(DOWNLOAD_HEAD);
          sendBulk(socket);
          break;
        case "events":
          startEvents(socket);
          break;
        case "socket":
          echo = startEcho(socket, head);
          break;
        case "refusal":
          counts.uninjected++;
          socket.write(REFUSAL);
      }
    },
  });
  socket.on("data", (chunk: Buffer) => {
    try {
      if (echo === null) reader.push(chunk);
      else echo(chunk);
    } catch {
      socket.destroy(); // the contender sees a broken upstream, which fails its sample
    }
  });
  socket.on("error", () => socket.destroy());
}

function answerTo(head: string): Answer {
  const path = head.slice(head.indexOf(" ") + 1, head.indexOf(" HTTP/"));
  if (path === "/download") return "download";
  if (path === "/events") return "events";
  return path === "/socket" ? "socket" : "json";
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
