import { afterEach, describe, expect, test } from "vitest";
import { Denial } from "../../src/core/denial.ts";
import { openGuest, type RawGuest } from "../hostile/raw-guest.ts";
import { eventually, type Joined, type Scripted, startJoined, startScripted } from "./support/joined.ts";

/** What the account tells of an exchange that the policy refuses. */

let joined: Joined;
let upstream: Scripted;
let guest: RawGuest;

afterEach(async () => {
  guest.destroy();
  await joined.stop();
  await upstream.close();
  expect(joined.faults).toEqual([]);
});

describe("a refusal of the policy", () => {
  test.each([
    ["names the destination whose rules refuse", { destination: "narrow" }, "narrow"],
    ["names none where none was found", {}, ""],
  ])("%s", async (_name, options, destination) => {
    upstream = await startScripted(() => undefined);
    joined = await startJoined({
      ports: ({ policy }) => ({
        policy: {
          admit: (...args) => policy.admit(...args),
          spells: (...args) => policy.spells(...args),
          decide: () => {
            throw new Denial("path_not_allowed", options);
          },
        },
      }),
    });
    guest = await openGuest(joined.port);
    guest.send(`GET http://api.test:${upstream.port}/v2 HTTP/1.1\r\nHost: api.test:${upstream.port}\r\n\r\n`);
    await eventually(() => joined.records.length === 1, "the record");
    expect(joined.records[0]).toMatchObject({ denial: "path_not_allowed", destination, outcome: "denied" });
    expect(upstream.sockets).toHaveLength(0);
  });
});
