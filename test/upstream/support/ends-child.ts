import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import {
  block,
  DATA,
  END_STREAM,
  frame,
  type FrameServer,
  GOAWAY,
  headers,
  HEADERS,
  PING,
  settings,
  startFrames,
  u32,
  WINDOW_UPDATE,
} from "./http2-frames.ts";
import { type Answer, Body, Pooled, type PooledOptions } from "./pooled.ts";

/** An edge's pools and an upstream that would end their process, in a process of their own. It says how the exchanges ended. */

/** RFC 9113 §7. */
const CANCEL = 8;
const WINDOW = 10;
const STATUS: [string, string] = [":status", "200"];
/** The collector must have something to find, and may find it at any time. */
const ROUNDS = 20;

const open = (server: FrameServer, options: PooledOptions = {}): Pooled =>
  new Pooled(server.port, { destination: { scheme: "http", http: "h2c" }, ...options });

/** A body that its window takes exactly: nothing of it waits, but its end and trailers do, until the window opens again. */
const whole = (): Body =>
  new Body("stream", (sink) => {
    sink.bodyData(Buffer.alloc(WINDOW));
    sink.bodyEnd(null);
    sink.bodyFlush();
  });

const part = (bytes: number): Body =>
  new Body("stream", (sink) => {
    sink.bodyData(Buffer.alloc(bytes));
    sink.bodyFlush();
  });

const opened = (stream: number): Buffer => frame(WINDOW_UPDATE, 0, stream, u32(100));

/** Tells `onSegment` of bytes that come on another connection, in the same turn as what is sent just before them. */
async function beside(onSegment: () => void): Promise<{ come: () => void; close: () => void }> {
  const listener = createServer({ noDelay: true });
  listener.listen(0, "127.0.0.1");
  const accepted = once(listener, "connection");
  await once(listener, "listening");
  const socket = connect((listener.address() as AddressInfo).port, "127.0.0.1");
  socket.on("data", onSegment);
  const [other] = await accepted;
  return {
    come: () => void other.write("x"),
    close: () => {
      listener.close();
      socket.destroy();
    },
  };
}

/** An answer that is refused, and whole: both sides of the stream are over before its reset leaves. */
async function answered(): Promise<Answer[]> {
  const server = await startFrames(
    (peer, { type, stream, payload }) => {
      if (type !== DATA || payload.length !== WINDOW) return;
      const answer = [headers(stream, 0, [":status", "600"]), frame(DATA, END_STREAM, stream, "x"), opened(stream)];
      setTimeout(() => peer.send(...answer), 30);
    },
    { greeting: [settings([4, WINDOW])] },
  );
  const pooled = open(server);
  const answer = await pooled.ask({ method: "POST", body: whole() });
  await server.close();
  await pooled.stop();
  return [answer];
}

/** GOAWAY, while a request of somebody else is about to be written. */
async function dismissed(): Promise<Answer[]> {
  const answers: Answer[] = [];
  const taken = new Set<number>();
  const server = await startFrames(
    (peer, { type, stream, payload }) => {
      if (type !== DATA || payload.length !== WINDOW || taken.add(stream).size < 2) return;
      setTimeout(() => {
        other.come();
        peer.send(opened(1), frame(GOAWAY, 0, 0, u32(3, CANCEL)));
      }, 30);
    },
    { greeting: [settings([4, WINDOW])] },
  );
  const pooled = open(server);
  const [first, second, channel] = [await pooled.connect(), await pooled.connect(), await pooled.connect()];
  const other = await beside(() => pooled.begin(channel));
  answers.push(
    pooled.begin(first, { method: "POST", body: whole() }),
    pooled.begin(second, { method: "POST", body: part(10 * WINDOW) }),
  );
  await Promise.all(answers.map(({ over }) => over));
  other.close();
  await server.close();
  await pooled.stop();
  return answers;
}

/** A head that never ends; the connection does, and garbage is collected in the same turn. */
async function collected(): Promise<Answer[]> {
  const answers: Answer[] = [];
  const other = await beside(() => globalThis.gc?.());
  const server = await startFrames((peer, { type, stream }) => {
    if (type !== HEADERS) return;
    const head = frame(HEADERS, 0, stream, block(STATUS, ["x-a", "a".repeat(100)]));
    setTimeout(() => {
      peer.send(head, frame(PING, 0, 0, Buffer.alloc(8)));
      other.come();
    }, 2);
  });
  for (let i = 0; i < ROUNDS; i++) {
    const pooled = open(server);
    answers.push(await pooled.ask());
    await pooled.stop();
  }
  other.close();
  await server.close();
  return answers;
}

/** The same, and the upstream goes away. */
const dropped = (): Promise<Answer[]> => unread(true);

/** A head that never ends, from an upstream that reads nothing of the request. */
async function unread(leaves = false): Promise<Answer[]> {
  const answers: Answer[] = [];
  const server = await startFrames(
    (peer, { type, stream }) => {
      if (type !== HEADERS) return;
      peer.socket.pause();
      peer.send(frame(HEADERS, 0, stream, block(STATUS, ["x-a", "a".repeat(100)])));
      if (leaves) setTimeout(() => peer.socket.destroy(), 15);
    },
    { greeting: [settings([4, 0x7fffffff]), frame(WINDOW_UPDATE, 0, 0, u32(0x7fff0000))] },
  );
  for (let i = 0; i < ROUNDS; i++) {
    const pooled = open(server, { timeouts: { bodyIdleMs: 40, upstreamHeadMs: 40 } });
    answers.push(await pooled.ask({ method: "POST", body: part(20_000_000) }));
    await pooled.stop();
    globalThis.gc?.();
  }
  await server.close();
  return answers;
}

// As the edge does.
process.once("beforeExit", (code) => process.exit(code));

const stories: Record<string, () => Promise<Answer[]>> = { answered, dismissed, collected, unread, dropped };
const answers = (await stories[process.argv[2] ?? ""]?.()) ?? [];
process.stdout.write([...new Set(answers.map(({ failure }) => failure?.denial.code))].join(" "));
