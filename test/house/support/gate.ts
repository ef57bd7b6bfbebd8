import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { freePorts } from "./postern-process.ts";

/** A way to a server that can be cut off, held up and opened again on the same port, as what is behind it dies, hangs and comes back. */
export class Gate {
  readonly port: number;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | null;
  #isHeld = false;

  private constructor(server: Server, port: number, target: number) {
    this.#server = server;
    this.port = port;
    this.#target = target;
  }

  /** @param target port on loopback */
  static async to(target: number): Promise<Gate> {
    // One that nobody else is given while it is shut.
    const [port = 0] = await freePorts(1);
    const server = createServer();
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    const gate = new Gate(server, port, target);
    server.on("connection", (socket) => gate.#pass(socket));
    return gate;
  }

  /** As after `kill -9`: connections are reset, and nobody listens. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    if (server === null) return;
    const closed = once(server, "close");
    server.close();
    await closed;
  }

  /** As after SIGSTOP: the kernel takes connections and bytes, and nobody answers. */
  hold(): void {
    this.#isHeld = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** From whatever it was. */
  async open(): Promise<void> {
    if (this.#isHeld) {
      this.#isHeld = false;
      // What waited is forgotten, as a client that gave up long ago has.
      for (const socket of this.#sockets) socket.destroy();
    }
    if (this.#server !== null) return;
    const server = createServer((socket) => this.#pass(socket));
    this.#server = server;
    server.listen(this.port, "127.0.0.1");
    await once(server, "listening");
  }

  #pass(near: Socket): void {
    this.#keep(near);
    if (this.#isHeld) {
      near.pause();
      return;
    }
    const far = connect(this.#target, "127.0.0.1");
    this.#keep(far);
    near.pipe(far).pipe(near);
    near.on("close", () => far.destroy());
    far.on("close", () => near.destroy());
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    // What ends it ends the other side as well.
    socket.on("error", () => undefined);
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
