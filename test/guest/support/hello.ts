/** The smallest ClientHello with a server name (RFC 8446 §4.1.2), as one TLS record. */
export function clientHello(name: string): Buffer {
  const serverName = vector(2, Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name))]));
  const extensions = vector(2, Buffer.concat([Buffer.from([0, 0]), vector(2, serverName)]));
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32),
    vector(1, Buffer.alloc(0)),
    vector(2, Buffer.from([0x13, 0x01])),
    vector(1, Buffer.from([0])),
    extensions,
  ]);
  const message = Buffer.concat([Buffer.from([1]), vector(3, body)]);
  return Buffer.concat([Buffer.from([22, 3, 1]), vector(2, message)]);
}

/** `bytes` behind a length of `size` bytes. */
function vector(size: number, bytes: Buffer): Buffer {
  const length = Buffer.alloc(size);
  length.writeUIntBE(bytes.length, 0, size);
  return Buffer.concat([length, bytes]);
}
