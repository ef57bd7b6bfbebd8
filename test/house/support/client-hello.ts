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
