import { Duplex } from "node:stream";
import { connect } from "node:tls";

/**
 * What is sent through a destination that is not looked into: a real TLS hello, then plain bytes. Whoever passes TLS through
 * reads nothing behind the hello, and TLS at both ends would cost more than the proxy in between.
 */

/** Asks the upstream for 100 MB. */
export const DOWNLOAD_BYTE = 0x64;

const RECORD_HEADER_BYTES = 5;

/** Length of the hello's one TLS record as its header tells, or `null` while that has not come. */
export function helloLength(bytes: Buffer): number | null {
  return bytes.length < RECORD_HEADER_BYTES ? null : RECORD_HEADER_BYTES + bytes.readUInt16BE(3);
}

/**
 * The hello that this Node makes for `host`, as one that speaks TLS 1.2 at most: the upstream is no TLS server and does not answer
 * it, and what follows a hello of TLS 1.3 may wait for that.
 */
export function clientHello(host: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const transport = new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _encoding, done) {
        resolve(chunk);
        done();
        transport.destroy();
      },
    });
    connect({ socket: transport, servername: host, maxVersion: "TLSv1.2" }).on("error", reject);
  });
}
