import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatIp, networkOf } from "../../src/core/ip.ts";

describe("whose address it is", () => {
  test.each([
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["::FFFF:c000:0207", "192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:DB8:1:2::", "2001:db8:1:2::/64"],
    ["2001:db8::7", "2001:db8::/64"],
    ["::1", "::/64"],
    ["fe80::1%eth0", "fe80::/64%eth0"],
    ["fe80::2%eth1", "fe80::/64%eth1"],
    ["unix", "unix"],
    ["", ""],
    ["no:address", "no:address"],
  ])("%s: %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  test("is told by the first half of IPv6, and by nothing else of it", () => {
    const half = fc.uint8Array({ minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(half, half, half, half, (one, other, host, another) => {
        // Zeros in front could be an IPv4 address.
        one[0] = 0x20;
        other[0] = 0x20;
        const of = (network: Uint8Array, rest: Uint8Array): string =>
          networkOf(formatIp(Uint8Array.of(...network, ...rest)));
        expect(of(one, host)).toBe(of(one, another));
        expect(of(one, host) === of(other, host)).toBe(one.join() === other.join());
      }),
    );
  });
});
