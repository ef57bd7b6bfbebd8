import { afterEach, expect, test } from "vitest";
import { type Scripted, startScripted } from "../line/support/joined.ts";
import { Body, Pooled } from "./support/pooled.ts";

/** Bodies that are another length than they say, which whoever replaced them might make: nothing behind them is read as theirs. */

let upstream: Scripted;
let pooled: Pooled;

afterEach(async () => {
  await upstream.close();
  await pooled.stop();
});

async function start(): Promise<void> {
  upstream = await startScripted((socket, text) => {
    // It answers whatever it has seen of the body.
    if (text.includes("\r\n\r\n")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  pooled = new Pooled(upstream.port, { destination: { http: "h1" } });
}

const said = (pieces: readonly string[]): Body =>
  new Body(5, (sink) => {
    for (const piece of pieces) sink.bodyData(Buffer.from(piece));
    sink.bodyEnd(null);
    sink.bodyFlush();
  });

test.each([
  ["shorter", ["late"]],
  ["longer", ["later", "X"]],
  ["longer, at once", ["late-X"]],
])("%s: the exchange fails, and its connection is used no more", async (_name, pieces) => {
  await start();
  const answer = await pooled.ask({ method: "POST", body: said(pieces), fields: [["Content-Length", "5"]] });
  expect(answer.failure?.denial.code).toBe("internal");
  expect(upstream.received.join("")).not.toContain("X");
  await pooled.ask();
  expect([pooled.opened, pooled.reused]).toEqual([2, 0]);
});

test("a piece of no bytes does not end a body in chunks", async () => {
  await start();
  const body = new Body("stream", (sink) => {
    for (const piece of ["a", "", "b"]) sink.bodyData(Buffer.from(piece));
    sink.bodyEnd(null);
    sink.bodyFlush();
  });
  const answer = await pooled.ask({ method: "POST", body });
  expect(answer.status).toBe(200);
  expect(upstream.received[0]).toMatch(/\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n$/);
});
