import { connect, createServer } from "node:net";

/** The process of the contender: `PORT`. CONNECT and `pipe`: no rule, no check, no record. */

const ESTABLISHED = "HTTP/1.1 200 Connection Established\r\n\r\n";

const server = createServer({ noDelay: true, allowHalfOpen: true }, (guest) => {
  guest.on("error", () => guest.destroy());
  guest.once("data", (head: Buffer) => {
    const [, host = "", port] = /^CONNECT ([^:]+):(\d+) /.exec(head.toString("latin1")) ?? [];
    const upstream = connect({ host, port: Number(port), noDelay: true, allowHalfOpen: true }, () => {
      guest.write(ESTABLISHED);
      guest.pipe(upstream);
      upstream.pipe(guest);
    });
    upstream.on("error", () => guest.destroy());
    guest.on("close", () => upstream.destroy());
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1", 4096);
