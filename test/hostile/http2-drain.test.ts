import { expect, test } from "vitest";
import { END_STREAM, headers, TYPE } from "../guest/support/h2-frames.ts";
import { eventually } from "../line/support/joined.ts";
import { startTarget } from "./support/h2-attacker.ts";

/** The end of a drain: what still runs over HTTP/2 is reset, and not only left without an end. */

test("streams whose answers go on for ever are reset", async () => {
  const target = await startTarget({ timeouts: { bodyIdleMs: 10_000, drainMs: 200 } }, (socket, received) => {
    if (received.endsWith("\r\n\r\n"))
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  });
  const guest = await target.attack();
  guest.send(headers(1, target.request("/endless")), headers(3, target.request("/endless")));
  await eventually(() => guest.body(1) === "hello" && guest.body(3) === "hello", "the beginning");
  await target.joined.drain();
  await guest.ended();
  const types = guest.reader.frames.map(({ type }) => type);
  expect(types).toContain(TYPE.goaway);
  // Node keeps one back that it was asked for while it wrote another; no END_STREAM was seen of either.
  expect(guest.reader.codes().has(1) || guest.reader.codes().has(3)).toBe(true);
  expect(guest.reader.frames.filter(({ stream, flags }) => stream > 0 && (flags & END_STREAM) > 0)).toEqual([]);
  expect(target.joined.records.map(({ path, outcome }) => [path, outcome])).toContainEqual([
    "/endless",
    "edge_aborted",
  ]);
  await target.close();
});
