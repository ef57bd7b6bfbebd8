import { Duplex } from "node:stream";
import { connect } from "node:tls";

/** The first bytes that a TLS client sends. @param servername left out: no SNI */
export function helloFor(servername?: string): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _encoding, done) {
        done();
        // The client writes before it was handed out.
        setImmediate(() => client.destroy());
        resolve(chunk);
      },
    });
    const client = connect({ socket: wire, ...(servername === undefined ? {} : { servername }) });
    client.on("error", () => undefined);
  });
}

/** The same hello in records of the given sizes, taken in turn (RFC 8446 §5.1 lets a message be cut anywhere). */
export function inRecords(hello: Buffer, sizes: readonly number[]): Buffer {
  const message = hello.subarray(RECORD_HEADER_BYTES);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length;) {
    const fragment = message.subarray(at, at + (sizes[records.length % sizes.length] as number));
    records.push(record(fragment));
    at += fragment.length;
  }
  return Buffer.concat(records);
}

/** The same hello, in one record, with one extension more. */
export function withExtension(hello: Buffer, type: number, data: Buffer): Buffer {
  const message = Buffer.from(hello.subarray(RECORD_HEADER_BYTES));
  // Type and length, version, random; then session id, suites and compression methods, each behind its length.
  let at = 4 + 2 + 32;
  at += 1 + message.readUInt8(at);
  at += 2 + message.readUInt16BE(at);
  at += 1 + message.readUInt8(at);
  const extension = Buffer.concat([uint(2, type), uint(2, data.length), data]);
  message.writeUInt16BE(message.readUInt16BE(at) + extension.length, at);
  message.writeUIntBE(message.readUIntBE(1, 3) + extension.length, 1, 3);
  return record(Buffer.concat([message, extension]));
}

const RECORD_HEADER_BYTES = 5;

function record(fragment: Buffer): Buffer {
  return Buffer.concat([Buffer.of(22, 3, 1), uint(2, fragment.length), fragment]);
}

function uint(size: number, value: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}
