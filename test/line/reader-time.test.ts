import {
  type ClientHttp2Stream,
  connect as connectHttp2,
  createServer,
  type Http2Server,
  type ServerHttp2Stream,
} from "node:http2";
import { connect, type AddressInfo, type Socket } from "node:net";
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import {
  eventually,
  type Joined,
  type JoinedOptions,
  type Scripted,
  startJoined,
  startScripted,
} from "./support/joined.ts";

/**
 * A guest that reads nothing of its answer, and goes on with its upload meanwhile: the upstream is not read either, and no clock of
 * its own ends it, so that the guest's has to run on, whatever else happens.
 */

const TIMEOUTS = { bodyIdleMs: 400 };

let joined: Joined;
let guest: Socket;
let trickle: NodeJS.Timeout | undefined;
let upstream: Scripted | null = null;
let server: Http2Server | null = null;

afterEach(async () => {
  clearInterval(trickle);
  guest.destroy();
  await joined.stop();
  await upstream?.close();
  server?.close();
  upstream = null;
  server = null;
});

/** What a guest does with the rest of its upload. @param send more of it @param end the rest of it */
type Upload = (send: () => void, end: () => void) => Promise<void>;

const UPLOADS: [string, Upload][] = [
  [
    "that ends",
    async (_send, end) => {
      // Until all that fits between the two is there, and the upstream is read no more.
      await joined.passed(150);
      end();
    },
  ],
  [
    "that goes on, a little now and then",
    async (send) => {
      trickle = setInterval(send, TIMEOUTS.bodyIdleMs / 8);
    },
  ],
];

test.each(UPLOADS)("over HTTP/1.1, with an upload %s", async (_name, upload) => {
  const answered = new Set<Socket>();
  upstream = await startScripted((socket, received) => {
    if (answered.has(socket) || !received.includes("first")) return;
    answered.add(socket);
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n");
    socket.write(Buffer.alloc(30_000_000, 120));
  });
  joined = await startJoined({ timeouts: TIMEOUTS });
  guest = connect(joined.port, "127.0.0.1");
  guest.on("error", () => undefined).pause();
  const target = `localhost:${upstream.port}`;
  guest.write(`POST http://${target}/ HTTP/1.1\r\nHost: ${target}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n`);
  await eventually(() => answered.size === 1, "the early answer");
  await upload(
    () => guest.write("1\r\nx\r\n"),
    () => guest.write("0\r\n\r\n"),
  );
  await eventually(() => joined.records.length === 1, "the end");
  expect(joined.records).toMatchObject([{ outcome: "guest_aborted", denial: null }]);
  await eventually(() => joined.open() === 0, "the end of the upstream connection");
});

/** An upload over HTTP/2 that has begun, of a guest that reads nothing. @param answer to what comes of it first, behind the head */
async function uploadOverHttp2(
  timeouts: NonNullable<JoinedOptions["timeouts"]>,
  answer: (stream: ServerHttp2Stream) => void,
  initialWindowSize = 65_535,
): Promise<ClientHttp2Stream> {
  server = createServer();
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => undefined);
    stream.once("data", () => {
      stream.respond({ ":status": 200 });
      answer(stream);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  joined = await startJoined({ timeouts, destination: { scheme: "http", http: "h2c" } });
  guest = connect(joined.port, "127.0.0.1");
  guest.on("error", () => undefined);
  guest.write(`CONNECT localhost:${port} HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`);
  await once(guest, "data");
  const session = connectHttp2(`http://localhost:${port}`, {
    createConnection: () => guest,
    settings: { initialWindowSize },
  });
  session.on("error", () => undefined);
  const stream = session.request({ ":method": "POST", ":path": "/" });
  stream.on("error", () => undefined).pause();
  stream.write("first");
  return stream;
}

test.each(UPLOADS)("over HTTP/2, with an upload %s", async (_name, upload) => {
  const stream = await uploadOverHttp2(TIMEOUTS, (answer) => answer.write(Buffer.alloc(30_000_000, 1)));
  await once(stream, "response");
  await upload(
    () => stream.writable && stream.write("x"),
    () => stream.end("last"),
  );
  await eventually(() => joined.records.length === 2, "the end");
  expect(joined.records).toMatchObject([{ kind: "connect" }, { kind: "http", outcome: "guest_aborted" }]);
  stream.session?.destroy();
});

test("an answer over HTTP/2 that is over before the upload is read in the time that a reader has", async () => {
  // One frame, which is handed over whole, and waits for the window of its stream.
  const BYTES = 10_000;
  const times = { bodyIdleMs: 10_000, requestHeadMs: 200 };
  const stream = await uploadOverHttp2(times, (answer) => answer.end(Buffer.alloc(BYTES, 1)), 1000);
  await eventually(() => joined.records.some(({ bytesToGuest }) => bytesToGuest === BYTES), "the answer");
  // For longer than a guest may go on with what nobody wants any more.
  await joined.passed(600);
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => (bytes += chunk.length)).resume();
  await once(stream, "close");
  expect([bytes, stream.rstCode]).toEqual([BYTES, 0]);
  stream.session?.destroy();
});
