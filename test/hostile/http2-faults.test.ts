import { afterEach, describe, expect, test } from "vitest";
import type { Clock } from "../../src/core/clock.ts";
import { END_HEADERS, frame, headers, TYPE, windowUpdate } from "../guest/support/h2-frames.ts";
import { eventually } from "../line/support/joined.ts";
import { type Attacker, startTarget, type Target } from "./support/h2-attacker.ts";

/** A fault of the edge itself in an event of a stream: it costs that guest its connection, and nobody else anything. */

const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n";

let target: Target;
/** The next look at the clock fails. */
let fails = false;

afterEach(async () => {
  await target.close();
});

function failing(clock: Clock): Clock {
  const look = (): number => {
    if (fails) {
      fails = false;
      throw new Error("the clock cannot be read");
    }
    return clock.monotonicMs();
  };
  return { ...clock, monotonicMs: look };
}

/** Waits until nothing has moved for some looks at `count`. */
async function still(count: () => number): Promise<void> {
  let before = -1;
  let looks = 0;
  await eventually(() => {
    looks = count() === before ? looks + 1 : 0;
    before = count();
    return before > 0 && looks > 10;
  }, "a stream that stands still");
}

describe("what throws", () => {
  test.each<[string, string, (guest: Attacker) => void]>([
    ["when a body moves", "/silent", (guest) => guest.send(frame(TYPE.data, 0, 1, Buffer.from("x")))],
    ["when an answer is read", "/large", (guest) => guest.send(windowUpdate(0, 9_000_000), windowUpdate(1, 9_000_000))],
  ])("%s", async (_name, path, strike) => {
    target = await startTarget({ ports: (line) => ({ clock: failing(line.clock) }) }, (socket, received) => {
      if (/GET \/marker-\d+ /.test(received)) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      else if (received.includes("POST /large ")) socket.write(ANSWER + "x".repeat(900_000));
    });
    const guest = await target.attack();
    guest.send(headers(1, target.request(path, "POST"), END_HEADERS));
    await still(() => target.upstream.received.join("").length + guest.body(1).length);
    fails = true;
    strike(guest);
    await guest.ended();
    await target.heard();
    expect(target.joined.records.filter(({ denial }) => denial === "internal")).toHaveLength(1);
    expect(target.joined.faults).toEqual([]);
    guest.socket.destroy();
    await eventually(() => target.joined.records.length === target.joined.opened(), "every record");
    await eventually(() => target.joined.sweep.size === target.joined.open(), "the end of the deadlines");
  });
});
