import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import * as fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { readDirectly } from "../../src/core/direct-reads.ts";

/** A reader past the stream sees every byte once and in order, whatever is done to the socket meanwhile. */

const sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

async function pair(): Promise<{ readonly near: Socket; readonly far: Socket }> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const far = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [near] = (await once(server, "connection")) as [Socket];
  server.close();
  sockets.push(near, far);
  return { near, far };
}

/** What is done with the socket between two segments. */
const steps = fc.array(fc.constantFrom("write", "pause", "resume", "turn", "unshift" as const), { maxLength: 40 });

describe("direct reads", () => {
  test("every byte comes once and in order, through pauses and bytes that are put back", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        const { near, far } = await pair();
        const seen: Buffer[] = [];
        readDirectly(near, (segment) => seen.push(segment));
        let sent = "";
        for (const step of sequence) {
          if (step === "write") {
            const piece = `${sent.length},`.padEnd(3000, "x");
            sent += piece;
            far.write(piece);
          } else if (step === "pause") near.pause();
          else if (step === "resume") near.resume();
          else if (step === "turn") await new Promise((resolve) => setImmediate(resolve));
          else if (near.isPaused() && seen.length > 0 && near.readableLength === 0) {
            // Only the last segment, and only while nothing waits behind it: what a handover does.
            const last = seen.pop() as Buffer;
            near.unshift(last);
          }
        }
        near.resume();
        far.end();
        await once(near, "end");
        expect(Buffer.concat(seen).toString()).toBe(sent);
        near.destroy();
        far.destroy();
      }),
      { numRuns: 60 },
    );
  });

  test("plain flow does not pass through the stream; what was paused does", async () => {
    const { near, far } = await pair();
    let events = 0;
    const seen: string[] = [];
    readDirectly(near, (segment) => seen.push(segment.toString()));
    near.on("data", () => events++);
    far.write("direct");
    await expect.poll(() => seen).toEqual(["direct"]);
    expect(events).toBe(0);
    near.pause();
    far.write("paused");
    await expect.poll(() => near.readableLength).toBe(6);
    expect(seen).toEqual(["direct"]);
    near.resume();
    await expect.poll(() => seen).toEqual(["direct", "paused"]);
    expect(events).toBe(1);
  });

  test("a socket that was given back is as any other", async () => {
    const { near, far } = await pair();
    const seen: string[] = [];
    const stop = readDirectly(near, (segment) => seen.push(segment.toString()));
    far.write("one");
    await expect.poll(() => seen).toEqual(["one"]);
    near.pause();
    stop();
    far.write("two");
    const [chunk] = (await once(near.resume(), "data")) as [Buffer];
    expect(chunk.toString()).toBe("two");
    far.end();
    await once(near.resume(), "end");
    expect(seen).toEqual(["one"]);
  });
});
