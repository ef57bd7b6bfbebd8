import type { Logger } from "pino";
import type { ListenerConfig } from "../../config/config.ts";
import type { ListenAddress } from "../../config/listen-address.ts";
import { clearStaleSocket } from "../../custody/unix-socket.ts";
import { GuestListener, type ListenerEnvironment } from "../../guest/listener.ts";
import type { Undo } from "../undo.ts";

export interface OpenListenersOptions {
  readonly environment: ListenerEnvironment;
  readonly logger: Logger;
  /** Each listener comes to these as soon as it is bound. */
  readonly opened: GuestListener[];
  /** Is given the drain of each. */
  readonly undo: Undo;
}

/**
 * Opens the guest listeners of an edge, one after the other.
 * @throws Error that names the listener and the next step when its address cannot be had
 */
export async function openListeners(
  configs: readonly ListenerConfig[],
  { environment, logger, opened, undo }: OpenListenersOptions,
): Promise<void> {
  for (const { name, address } of configs) {
    const listener = new GuestListener(
      {
        name,
        address: address.kind === "unix" ? { path: address.path } : { host: address.host, port: address.port },
        mode: 0o660,
        onError: (error) => logger.error({ err: error, listener: name }, "accept"),
      },
      environment,
    );
    await bind(listener, name, address);
    undo.add(() => listener.drain());
    opened.push(listener);
  }
}

async function bind(listener: GuestListener, name: string, address: ListenAddress): Promise<void> {
  try {
    // What a process that was killed left behind would be in the way for ever.
    if (address.kind === "unix") await clearStaleSocket(address.path);
    await listener.listen();
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    const next =
      why === "EADDRINUSE" ? "something else listens there: stop it or choose another one" : "choose another one";
    throw new Error(`listener ${name}: ${address.text} cannot be bound (${why}): ${next}`, { cause: error });
  }
}
