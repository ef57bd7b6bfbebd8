import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatIp, type IpRange, parseIp, parseIpRange } from "../../src/core/ip.ts";
import {
  ADDRESS_CLASSES,
  addressClass,
  addressFault,
  addressLayers,
  describeFault,
} from "../../src/policy/address-class.ts";

const ip = (text: string): Uint8Array => {
  const parsed = parseIp(text);
  if (parsed === null) throw new Error(text);
  return parsed;
};
const ranges = (...texts: readonly string[]): IpRange[] =>
  texts.map((text) => {
    const range = parseIpRange(text);
    if (range === null) throw new Error(text);
    return range;
  });
/** Class of what is refused, and the address that it was found in. */
const fault = (text: string, ...named: readonly string[]): string | null => {
  const found = addressFault(ip(text), ranges(...named));
  return found === null ? null : `${formatIp(found.ip)} ${found.class.name}`;
};

describe("classes", () => {
  test.each([
    ["0.0.0.0", "unspecified"],
    ["0.1.2.3", "this_network"],
    ["10.0.0.0", "private"],
    ["10.255.255.255", "private"],
    ["172.16.0.0", "private"],
    ["172.31.255.255", "private"],
    ["192.168.255.255", "private"],
    ["100.64.0.0", "shared"],
    ["100.127.255.255", "shared"],
    ["100.100.100.200", "metadata"],
    ["127.0.0.1", "loopback"],
    ["127.255.255.255", "loopback"],
    ["169.254.0.1", "link_local"],
    ["169.254.169.254", "metadata"],
    ["169.254.170.2", "metadata"],
    ["168.63.129.16", "metadata"],
    ["192.0.0.1", "protocol"],
    ["192.0.0.192", "metadata"],
    ["192.0.2.1", "documentation"],
    ["198.51.100.1", "documentation"],
    ["203.0.113.1", "documentation"],
    ["192.88.99.1", "relay_6to4"],
    ["198.18.0.0", "benchmarking"],
    ["198.19.255.255", "benchmarking"],
    ["224.0.0.1", "multicast"],
    ["239.255.255.255", "multicast"],
    ["240.0.0.1", "reserved"],
    ["255.255.255.254", "reserved"],
    ["255.255.255.255", "broadcast"],
    ["::", "unspecified"],
    ["::1", "loopback"],
    ["::2", "v4_compatible"],
    ["::127.0.0.1", "v4_compatible"],
    ["::ffff:8.8.8.8", "v4_mapped"],
    ["::ffff:0:8.8.8.8", "v4_translated"],
    ["64:ff9b::8.8.8.8", "nat64"],
    ["64:ff9b:1::8.8.8.8", "nat64_local"],
    ["100::1", "discard"],
    ["2001::1", "teredo"],
    ["2001:2::1", "benchmarking"],
    ["2001:10::1", "orchid"],
    ["2001:2f:ffff::1", "orchid"],
    ["2001:1ff::1", "protocol"],
    ["2001:db8::1", "documentation"],
    ["2002:808:808::1", "tunnel_6to4"],
    ["3fff:fff::1", "documentation"],
    ["5f00::1", "segment_routing"],
    ["fc00::1", "unique_local"],
    ["fdff::1", "unique_local"],
    ["fd00:ec2::254", "metadata"],
    ["fd20:ce::254", "metadata"],
    ["fe80::1", "link_local"],
    ["febf::1", "link_local"],
    ["fec0::1", "site_local"],
    ["ff02::1", "multicast"],
    ["64:ff9b:2::1", "unallocated"],
    ["1000::1", "unallocated"],
    ["4000::1", "unallocated"],
    ["9000::1", "unallocated"],
    ["fe00::1", "unallocated"],
  ])("%s is %s", (text, name) => {
    expect(addressClass(ip(text))?.name).toBe(name);
    expect(addressFault(ip(text), [])).not.toBeNull();
  });

  const open = [
    "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255",
    "169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0",
    "223.255.255.255 168.63.129.17",
    "2000::1 2001:200::1 2001:4860:4860::8888 2001:db7::1 2003::1 2606:4700::1111 3ffe::1 3fff:1000::1",
  ].flatMap((words) => words.split(" "));

  test.each(open)("%s is public", (text) => {
    expect(addressClass(ip(text))).toBeNull();
    expect(addressFault(ip(text), [])).toBeNull();
  });

  test("every row names where it comes from, and none is hidden behind an earlier one", () => {
    for (const entry of ADDRESS_CLASSES) {
      expect(entry.source).toMatch(/RFC \d+|AWS|Azure|Alibaba|Oracle|GCP/);
      // The last address of a row is in no more particular row, but for the rows of one address.
      const last = entry.range.base.map(
        (byte, i) => byte | (0xff >> Math.max(0, Math.min(8, entry.range.prefix - i * 8))),
      );
      const found = addressClass(last);
      expect(found).not.toBeNull();
      if (last.some((byte) => byte !== 0xff)) expect(found?.name).toBe(entry.name);
    }
  });

  test("all of the address space that is not global unicast is in some row", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        if ((bytes[0] as number) >> 5 === 1) return;
        expect(addressFault(bytes, [])).not.toBeNull();
      }),
    );
  });
});

describe("ranges that a destination names", () => {
  test.each([
    ["10.1.2.3", ["10.1.0.0/16"], null],
    ["10.2.2.3", ["10.1.0.0/16"], "10.2.2.3 private"],
    ["127.0.0.1", ["127.0.0.1"], null],
    ["127.0.0.2", ["127.0.0.1"], "127.0.0.2 loopback"],
    ["::1", ["127.0.0.0/8"], "::1 loopback"],
    ["fd12::1", ["fd00::/8"], null],
  ])("%s with %j: %s", (text, named, expected) => {
    expect(fault(text, ...named)).toBe(expected);
  });

  test.each([
    ["169.254.169.254", "169.254.0.0/16"],
    ["169.254.169.254", "0.0.0.0/0"],
    ["100.100.100.200", "100.64.0.0/10"],
    ["fd00:ec2::254", "fd00::/8"],
    ["168.63.129.16", "168.63.0.0/16"],
  ])("metadata at %s is not named by %s, only by itself", (text, wide) => {
    expect(fault(text, wide)).toBe(`${text} metadata`);
    expect(fault(text, text)).toBeNull();
  });
});

describe("addresses that carry others are judged by both", () => {
  test.each([
    ["::ffff:127.0.0.1", "::ffff:0:0/96", "127.0.0.1 loopback"],
    ["::ffff:169.254.169.254", "::ffff:0:0/96", "169.254.169.254 metadata"],
    ["::10.0.0.1", "::/96", "10.0.0.1 private"],
    ["::ffff:0:10.0.0.1", "::ffff:0:0:0/96", "10.0.0.1 private"],
    ["64:ff9b::192.168.0.1", "64:ff9b::/96", "192.168.0.1 private"],
    ["64:ff9b:1:2:3:4:192.168.0.1", "64:ff9b:1:2:3:4::/96", "192.168.0.1 private"],
    ["2002:7f00:1::", "2002::/16", "127.0.0.1 loopback"],
    ["2002:a9fe:a9fe::1", "2002::/16", "169.254.169.254 metadata"],
    // RFC 4380 §4: server at bytes 4 to 7, client inverted at the end
    ["2001:0:7f00:1:0:0:f7f7:f7f7", "2001::/32", "127.0.0.1 loopback"],
    ["2001:0:808:808:0:0:80ff:fffe", "2001::/32", "127.0.0.1 loopback"],
  ])("%s by %s", (text, wrapper, expected) => {
    expect(fault(text)).toContain(formatIp(ip(text)));
    expect(fault(text, wrapper)).toBe(expected);
    expect(fault(text, wrapper, "0.0.0.0/0", "169.254.169.254")).toBeNull();
    expect(fault(text, "0.0.0.0/0", "169.254.169.254")).not.toBeNull();
  });

  test("a public address inside is fine where the wrapper is named", () => {
    expect(fault("64:ff9b::8.8.8.8", "64:ff9b::/96")).toBeNull();
    expect(fault("2002:808:808::", "2002::/16")).toBeNull();
    expect(fault("2001:0:808:808:0:0:f7f7:f7f7", "2001::/32")).toBeNull();
  });

  test("local NAT64 is named from /96 on: before, the place of the inner address is not known", () => {
    expect(fault("64:ff9b:1::8.8.8.8", "64:ff9b:1::/48")).toContain("nat64_local");
    expect(fault("64:ff9b:1::8.8.8.8", "64:ff9b:1::/96")).toBeNull();
  });

  test("layers are the address and what it carries", () => {
    expect(addressLayers(ip("64:ff9b::10.0.0.1")).map(formatIp)).toEqual(["64:ff9b::a00:1", "10.0.0.1"]);
    expect(addressLayers(ip("8.8.8.8")).map(formatIp)).toEqual(["8.8.8.8"]);
  });
});

test("a fault ends in what to write", () => {
  const found = addressFault(ip("10.0.0.1"), []);
  expect(found === null ? "" : describeFault(found)).toBe(
    "10.0.0.1 is private (RFC 1918); if it is meant, name 10.0.0.1 or its range under addresses of the destination",
  );
});
