import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import type { Destination, UpstreamParent } from "../../src/core/destination.ts";
import { Permit, type Pinned, PinnedAddress, PinnedName } from "../../src/core/exchange.ts";
import { parseIpRange } from "../../src/core/ip.ts";
import { AddressGuard, type AddressGuardOptions } from "../../src/policy/guard.ts";
import { permitForParent } from "../../src/policy/parent-permit.ts";
import type { OwnListener } from "../../src/policy/own-listeners.ts";
import { type Lookup, lookupBySystem } from "../../src/policy/resolver.ts";
import { authority, codeOf, destination, session } from "./fixture.ts";

const ranges = (...texts: readonly string[]): Destination["addresses"] =>
  texts.flatMap((text) => parseIpRange(text) ?? []);

const NONE: Destination["addresses"] = [];

function permit(host: string, named = NONE): Permit {
  return Permit.grant(session, authority(host), destination({ addresses: named }), "allow[0]");
}

/** A resolver that answers from a table and counts what it was asked. */
class Names {
  readonly asked: string[] = [];
  readonly table: Record<string, readonly string[]>;
  constructor(table: Record<string, readonly string[]>) {
    this.table = table;
  }
  readonly lookup: Lookup = async (host) => {
    this.asked.push(host);
    const answers = this.table[host];
    if (answers === undefined) throw new Error(`ENOTFOUND ${host}`);
    return Promise.resolve(answers);
  };
}

class ManualClock {
  now = 0;
  monotonicMs = (): number => this.now;
  wallMs = (): number => this.now;
}

function guardOf(lookup: Lookup, options: Partial<AddressGuardOptions> = {}): AddressGuard {
  return new AddressGuard({ lookup, clock: new ManualClock(), own: () => [], interfaces: () => [], ...options });
}

function addressesOf(pinned: Pinned): readonly string[] {
  if (!(pinned instanceof PinnedAddress)) throw new Error("a name was not resolved");
  return pinned.addresses;
}

async function refusal(guard: AddressGuard, asked: Permit): Promise<string> {
  try {
    return addressesOf(await guard.pin(asked)).join(",");
  } catch (thrown) {
    return codeOf(thrown);
  }
}

describe("every answer is checked", () => {
  const names = new Names({
    "good.test": ["8.8.8.8", "2606:4700::1111"],
    "mixed.test": ["8.8.8.8", "127.0.0.1"],
    "mixed6.test": ["2606:4700::1111", "::1"],
    "inside.test": ["10.1.2.3"],
    "metadata.test": ["169.254.169.254"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "zone.test": ["8.8.8.8", "fe80::1%eth0"],
    "odd.test": ["8.8.8.8", "0x7f.1"],
    "empty.test": [],
    "twice.test": ["8.8.8.8", "8.8.8.8"],
    "long.test": ["2606:4700:0:0::1111"],
  });
  const guard = guardOf(names.lookup);

  test.each([
    ["good.test", "8.8.8.8,2606:4700::1111"],
    ["twice.test", "8.8.8.8"],
    ["long.test", "2606:4700::1111"],
    ["mixed.test", "address_denied"],
    ["mixed6.test", "address_denied"],
    ["inside.test", "address_denied"],
    ["metadata.test", "address_denied"],
    ["mapped.test", "address_denied"],
    ["zone.test", "address_denied"],
    ["odd.test", "address_denied"],
    ["empty.test", "name_unresolved"],
    ["absent.test", "name_unresolved"],
  ])("%s: %s", async (host, expected) => {
    expect(await refusal(guard, permit(host))).toBe(expected);
  });

  test("a named range permits, for its destination alone", async () => {
    expect(await refusal(guard, permit("inside.test", ranges("10.1.0.0/16")))).toBe("10.1.2.3");
    expect(await refusal(guard, permit("inside.test", ranges("10.2.0.0/16")))).toBe("address_denied");
    expect(await refusal(guard, permit("inside.test"))).toBe("address_denied");
    expect(await refusal(guard, permit("mixed.test", ranges("127.0.0.0/8")))).toBe("8.8.8.8,127.0.0.1");
  });

  test("operators learn what it was and what to write", async () => {
    await expect(async () => guard.pin(permit("inside.test"))).rejects.toMatchObject({
      cause: expect.stringMatching(
        /^inside\.test:443: 10\.1\.2\.3 is private .* name 10\.1\.2\.3 or its range/,
      ) as string,
    });
  });
});

describe("IP literals are checked without a lookup", () => {
  const names = new Names({});
  const guard = guardOf(names.lookup);

  test.each([
    ["8.8.8.8", "8.8.8.8"],
    ["[2606:4700::1111]", "2606:4700::1111"],
    ["127.0.0.1", "address_denied"],
    ["[::1]", "address_denied"],
    ["[64:ff9b::7f00:1]", "address_denied"],
  ])("%s: %s", async (host, expected) => {
    expect(await refusal(guard, permit(host))).toBe(expected);
    expect(names.asked).toEqual([]);
  });

  test("at once", () => {
    expect(guard.pin(permit("8.8.8.8"))).not.toBeInstanceOf(Promise);
  });
});

describe("answers are kept for a few seconds", () => {
  test("a fresh one comes back at once, as the same pinned address", async () => {
    const names = new Names({ "a.test": ["8.8.8.8"] });
    const clock = new ManualClock();
    const guard = guardOf(names.lookup, { clock, ttlMs: 5000 });
    const asked = permit("a.test");
    await guard.pin(asked);
    const again = guard.pin(asked);
    expect(again).not.toBeInstanceOf(Promise);
    expect(guard.pin(asked)).toBe(again);
    expect((again as PinnedAddress).authority.text).toBe("a.test:443");
    expect((guard.pin(permit("a.test:8443")) as PinnedAddress).authority.text).toBe("a.test:8443");
    clock.now = 4999;
    expect(guard.pin(asked)).not.toBeInstanceOf(Promise);
    expect(names.asked).toEqual(["a.test"]);
    clock.now = 5000;
    names.table["a.test"] = ["1.1.1.1"];
    const renewed = guard.pin(asked);
    expect(renewed).toBeInstanceOf(Promise);
    expect(addressesOf(await renewed)).toEqual(["1.1.1.1"]);
    expect(names.asked).toEqual(["a.test", "a.test"]);
  });

  test("one destination's range does not leak to another through the cache", async () => {
    const names = new Names({ "a.test": ["10.0.0.1"] });
    const guard = guardOf(names.lookup);
    const open = permit("a.test", ranges("10.0.0.0/8"));
    expect(await refusal(guard, open)).toBe("10.0.0.1");
    expect(await refusal(guard, open)).toBe("10.0.0.1");
    expect(await refusal(guard, permit("a.test"))).toBe("address_denied");
    expect(await refusal(guard, open)).toBe("10.0.0.1");
    expect(names.asked).toHaveLength(1);
  });

  test("a failure is never kept", async () => {
    const names = new Names({});
    const guard = guardOf(names.lookup);
    expect(await refusal(guard, permit("a.test"))).toBe("name_unresolved");
    names.table["a.test"] = ["8.8.8.8"];
    expect(await refusal(guard, permit("a.test"))).toBe("8.8.8.8");
  });

  test("the oldest answers go when there are too many", async () => {
    const names = new Names({ "a.test": ["8.8.8.8"], "b.test": ["8.8.8.8"], "c.test": ["8.8.8.8"] });
    const clock = new ManualClock();
    const guard = guardOf(names.lookup, { clock, entries: 2, ttlMs: 10 });
    const ask = async (...hosts: readonly string[]): Promise<string[]> => {
      names.asked.length = 0;
      for (const host of hosts) await guard.pin(permit(host));
      return [...names.asked];
    };
    expect(await ask("a.test", "b.test", "c.test", "b.test", "c.test", "a.test")).toEqual([
      "a.test",
      "b.test",
      "c.test",
      "a.test",
    ]);
    clock.now = 10;
    // c is renewed, so that a is the oldest now: b pushes a out.
    expect(await ask("c.test", "b.test", "c.test", "b.test")).toEqual(["c.test", "b.test"]);
  });
});

describe("lookups", () => {
  test("are made once for all who wait", async () => {
    const gate = Promise.withResolvers<readonly string[]>();
    let asked = 0;
    const guard = guardOf(async () => {
      asked++;
      return gate.promise;
    });
    const waiting = ["a.test", "a.test:8443", "a.test"].map(async (host) => guard.pin(permit(host)));
    gate.resolve(["8.8.8.8"]);
    const pinned = await Promise.all(waiting);
    expect(pinned.map(({ authority }) => authority.text)).toEqual(["a.test:443", "a.test:8443", "a.test:443"]);
    expect(asked).toBe(1);
  });

  test("that take too long are refused, told to stop, and not waited for", async () => {
    const signals: AbortSignal[] = [];
    const guard = guardOf(
      async (_, signal) => {
        signals.push(signal);
        return new Promise(() => {});
      },
      { timeoutMs: 20 },
    );
    expect(await refusal(guard, permit("a.test"))).toBe("name_unresolved");
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
    expect(await refusal(guard, permit("a.test"))).toBe("name_unresolved");
    expect(signals).toHaveLength(2);
  });

  test("an answer that comes after its time is not used", async () => {
    const gate = Promise.withResolvers<readonly string[]>();
    let asked = 0;
    const guard = guardOf(async () => (asked++ === 0 ? gate.promise : ["1.1.1.1"]), { timeoutMs: 20 });
    expect(await refusal(guard, permit("a.test"))).toBe("name_unresolved");
    gate.resolve(["8.8.8.8"]);
    expect(await refusal(guard, permit("a.test"))).toBe("1.1.1.1");
  });

  test("are bounded in number, abandoned ones included", async () => {
    const gate = Promise.withResolvers<readonly string[]>();
    let asked = 0;
    const guard = guardOf(
      async () => {
        asked++;
        return gate.promise;
      },
      { lookups: 2, timeoutMs: 20 },
    );
    const first = await Promise.all([1, 2, 3].map((i) => refusal(guard, permit(`h${i}.test`))));
    expect(first).toEqual(["name_unresolved", "name_unresolved", "name_unresolved"]);
    expect(asked).toBe(2);
    expect(await refusal(guard, permit("h4.test"))).toBe("name_unresolved");
    expect(asked).toBe(2);
    gate.resolve(["8.8.8.8"]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(await refusal(guard, permit("h5.test"))).toBe("8.8.8.8");
    expect(asked).toBe(3);
  });

  test("that throw at once are refused like others", async () => {
    const guard = guardOf(() => {
      throw new Error("no resolver");
    });
    expect(await refusal(guard, permit("a.test"))).toBe("name_unresolved");
  });
});

describe("the edge's own listeners", () => {
  const everything = ranges("0.0.0.0/0", "::/0");
  const names = new Names({
    "self.test": ["127.0.0.1"],
    "self6.test": ["::1"],
    "lan.test": ["192.168.1.10"],
    "public.test": ["8.8.4.4"],
    "mixed.test": ["8.8.8.8", "192.168.1.10"],
  });
  const guard = (own: readonly OwnListener[]): AddressGuard =>
    guardOf(names.lookup, {
      own: () => own,
      interfaces: () => ["127.0.0.1", "::1", "192.168.1.10", "8.8.4.4", "fe80::1%eth0"],
    });

  test.each([
    ["127.0.0.1", "127.0.0.1:3128", "loop_detected"],
    ["127.0.0.1", "self.test:3128", "loop_detected"],
    ["127.0.0.1", "0.0.0.0:3128", "loop_detected"],
    ["127.0.0.1", "[::]:3128", "loop_detected"],
    ["127.0.0.1", "[64:ff9b::7f00:1]:3128", "loop_detected"],
    ["127.0.0.1", "[2002:7f00:1::]:3128", "loop_detected"],
    ["127.0.0.1", "127.0.0.2:3128", "127.0.0.2"],
    ["127.0.0.1", "127.0.0.1:3129", "127.0.0.1"],
    ["127.0.0.1", "192.168.1.10:3128", "192.168.1.10"],
    ["0.0.0.0", "self.test:3128", "loop_detected"],
    ["0.0.0.0", "127.9.9.9:3128", "loop_detected"],
    ["0.0.0.0", "[::1]:3128", "loop_detected"],
    ["0.0.0.0", "lan.test:3128", "loop_detected"],
    ["0.0.0.0", "public.test:3128", "loop_detected"],
    ["0.0.0.0", "mixed.test:3128", "loop_detected"],
    ["0.0.0.0", "192.168.1.11:3128", "192.168.1.11"],
    ["::", "self.test:3128", "loop_detected"],
    ["::", "self6.test:3128", "loop_detected"],
    ["::", "lan.test:3128", "loop_detected"],
    ["::", "[fe80::1]:3128", "loop_detected"],
    ["::", "lan.test:443", "192.168.1.10"],
    ["::ffff:127.0.0.1", "127.0.0.1:3128", "loop_detected"],
    ["192.168.1.10", "lan.test:3128", "loop_detected"],
    ["fe80::1%eth0", "[fe80::1]:3128", "loop_detected"],
    ["not an address", "lan.test:3128", "loop_detected"],
  ])("bound to %s: %s is %s although every range is named", async (address, host, expected) => {
    expect(await refusal(guard([{ address, port: 3128 }]), permit(host, everything))).toBe(expected);
  });

  test("public addresses of this machine are its own as well", async () => {
    expect(await refusal(guard([{ address: "::", port: 3128 }]), permit("public.test:3128"))).toBe("loop_detected");
    expect(await refusal(guard([]), permit("public.test:3128"))).toBe("8.8.4.4");
  });

  test("as the system says them, with a real listener", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
    try {
      const { address, port } = server.address() as AddressInfo;
      const real = new AddressGuard({
        lookup: lookupBySystem,
        clock: new ManualClock(),
        own: () => [{ address, port }],
      });
      expect(await refusal(real, permit(`localhost:${port}`, everything))).toBe("loop_detected");
      expect(await refusal(real, permit(`127.0.0.1:${port}`, everything))).toBe("loop_detected");
      expect(await refusal(real, permit("localhost:1", everything))).toMatch(/^(127\.0\.0\.1|::1)/);
      expect(await refusal(real, permit("localhost:1"))).toBe("address_denied");
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

describe("a survey tells all and refuses nothing", () => {
  const names = new Names({ "mixed.test": ["8.8.8.8", "10.0.0.1", "127.0.0.1"] });
  const guard = guardOf(names.lookup, { own: () => [{ address: "127.0.0.1", port: 443 }] });

  test("each address with its verdict", async () => {
    expect(await guard.survey(authority("mixed.test"), [])).toEqual([
      { address: "8.8.8.8", denial: null, why: null },
      { address: "10.0.0.1", denial: "address_denied", why: expect.stringContaining("private") as string },
      { address: "127.0.0.1", denial: "loop_detected", why: expect.stringContaining("listener of the edge") as string },
    ]);
    expect(await guard.survey(authority("10.0.0.1"), ranges("10.0.0.0/8"))).toEqual([
      { address: "10.0.0.1", denial: null, why: null },
    ]);
  });

  test("but a name that does not resolve", async () => {
    await expect(guard.survey(authority("absent.test"), [])).rejects.toMatchObject({ code: "name_unresolved" });
  });
});

describe("a name that a parent resolves", () => {
  const parent: UpstreamParent = {
    name: "corp",
    address: "proxy.corp.test:3128",
    connectBy: "name",
    serverName: "proxy.corp.test",
    destination: destination({ name: "corp", addresses: ranges("10.0.0.5/32") }),
  };
  const asked = (host: string, changes: Partial<Destination> = {}): Permit =>
    Permit.grant(session, authority(host), destination({ parent, ...changes }), "allow[0]");
  const names = new Names({ "proxy.corp.test": ["10.0.0.5"], "inside.test": ["10.1.2.3"] });
  const guard = guardOf(names.lookup, {
    own: () => [{ address: "0.0.0.0", port: 3128 }],
    ownNames: () => ["Edge-1.corp"],
  });

  test("is not resolved, and holds nothing that could be dialled", () => {
    const pinned = guard.pin(asked("inside.test"));
    expect(pinned).toBeInstanceOf(PinnedName);
    expect(pinned).toMatchObject({ key: "inside.test:443 by name" });
    expect(names.asked).toEqual([]);
  });

  test("is resolved and checked where the parent gets addresses", async () => {
    const byAddress = asked("inside.test", { parent: { ...parent, connectBy: "address" } });
    expect(await refusal(guard, byAddress)).toBe("address_denied");
  });

  test.each([
    ["an address in its place", "10.1.2.3", "address_denied"],
    ["a metadata service", "169.254.169.254", "address_denied"],
    ["an address of the edge", "127.0.0.1:3128", "loop_detected"],
    ["localhost", "localhost", "address_denied"],
    ["a name below localhost", "a.localhost", "address_denied"],
    ["localhost on a port of the edge", "localhost:3128", "loop_detected"],
    ["the edge's own name and port", "edge-1.corp:3128", "loop_detected"],
  ])("%s is judged as ever", async (_name, host, code) => {
    expect(await refusal(guard, asked(host))).toBe(code);
  });

  test("the edge's own name on another port is a name like any other", () => {
    expect(guard.pin(asked("edge-1.corp"))).toBeInstanceOf(PinnedName);
  });

  test("a public address is pinned as one", () => {
    expect(guard.pin(asked("8.8.8.8"))).toBeInstanceOf(PinnedAddress);
  });

  test("the parent itself is resolved and checked by its own ranges, in the session of the exchange", async () => {
    const toParent = permitForParent(asked("inside.test"));
    expect(toParent).toMatchObject({ session, rule: "parent", authority: { text: "proxy.corp.test:3128" } });
    // On a port of the edge's own, but on another machine.
    expect(await refusal(guard, toParent)).toBe("10.0.0.5");
    const elsewhere = asked("inside.test", { parent: { ...parent, destination: destination() } });
    expect(await refusal(guard, permitForParent(elsewhere))).toBe("address_denied");
  });

  test("a parent that leads to the edge itself is refused", async () => {
    const looped = asked("inside.test", { parent: { ...parent, address: "127.0.0.1:3128" } });
    expect(await refusal(guard, permitForParent(looped))).toBe("loop_detected");
  });
});
