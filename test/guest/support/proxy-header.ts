/** Version 2 of the PROXY protocol by hand, right and wrong ones alike. */
export interface HeaderParts {
  /** Default: PROXY. */
  readonly command?: number;
  /** Family and transport; default: TCP over IPv4. */
  readonly family?: number;
  /** Addresses and ports; default: 192.0.2.7:1000 to 198.51.100.1:443. */
  readonly addresses?: Buffer;
  readonly tlvs?: readonly (readonly [type: number, value: Buffer])[];
  /** What the header says of its length, if not the truth. */
  readonly length?: number;
}

export const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

export const V4_ADDRESSES = Buffer.from([192, 0, 2, 7, 198, 51, 100, 1, 1000 >> 8, 1000 & 0xff, 443 >> 8, 443 & 0xff]);

export const V6_ADDRESSES = Buffer.from(
  "20010db800000000000000000000000720010db80000000000000000000000010001ffff",
  "hex",
);

export function version2(parts: HeaderParts = {}): Buffer {
  const { command = 0x21, family = 0x11, addresses = V4_ADDRESSES, tlvs = [] } = parts;
  const body = Buffer.concat([addresses, ...tlvs.flatMap(([type, value]) => [tlvHead(type, value.length), value])]);
  const fixed = Buffer.alloc(4);
  fixed[0] = command;
  fixed[1] = family;
  fixed.writeUInt16BE(parts.length ?? body.length, 2);
  return Buffer.concat([SIGNATURE, fixed, body]);
}

export function tlvHead(type: number, length: number): Buffer {
  return Buffer.from([type, length >> 8, length & 0xff]);
}
