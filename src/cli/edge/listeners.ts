import type { Logger } from "pino";
import type { ListenerConfig } from "../../config/config.ts";
import type { ListenAddress } from "../../config/listen-address.ts";
import { clearStaleSocket } from "../../custody/unix-socket.ts";
import { type IpRange, parseIpRange } from "../../core/ip.ts";
import { GuestListener, type ListenerEnvironment, type ListenerOptions } from "../../guest/listener.ts";
import { CommandFailure, EXIT } from "../command.ts";
import type { Undo } from "../undo.ts";
import { type ListenerCertificates, readListenerTls } from "./listener-tls.ts";

export interface OpenListenersOptions {
  readonly environment: ListenerEnvironment;
  readonly logger: Logger;
  /** Each listener comes to these as soon as it is bound. */
  readonly opened: GuestListener[];
  /** Is told of each with TLS. */
  readonly certificates: ListenerCertificates;
  /** Is given the drain of each. */
  readonly undo: Undo;
}

/**
 * Opens the guest listeners of an edge, one after the other.
 * @throws Error that names the listener and the next step when its address cannot be had
 */
export async function openListeners(
  configs: readonly ListenerConfig[],
  { environment, logger, opened, certificates, undo }: OpenListenersOptions,
): Promise<void> {
  for (const config of configs) {
    const { name, address, proxySenders, protocol } = config;
    const tls = config.tls === null ? null : readListenerTls(config.tls);
    const listener = make(config, environment, {
      name,
      address:
        address.kind === "unix" ? { path: address.path, ...config.socket } : { host: address.host, port: address.port },
      protocol,
      tls,
      proxySenders: proxySenders === null || proxySenders === "unix" ? proxySenders : proxySenders.map(rangeOf),
      onError: (error) => logger.error({ err: error, listener: name }, "accept"),
    });
    await bind(listener, name, address);
    certificates.add(listener, config, tls);
    undo.add(() => listener.drain());
    opened.push(listener);
  }
}

function make(
  { name, tls: files }: ListenerConfig,
  environment: ListenerEnvironment,
  options: ListenerOptions,
): GuestListener {
  try {
    return new GuestListener(options, environment);
  } catch (error) {
    // All that can be wrong with it by now.
    const why = error instanceof Error ? error.message : String(error);
    const next = `check that ${files?.key ?? "its key"} is the key of ${files?.certificate ?? "its certificate"}, both PEM`;
    throw new CommandFailure(`listener ${name}: its certificate cannot be used (${why}): ${next}`, EXIT.usage);
  }
}

/** The config has parsed it. */
function rangeOf(text: string): IpRange {
  const range = parseIpRange(text);
  if (range === null) throw new Error(`${text} is no range`);
  return range;
}

async function bind(listener: GuestListener, name: string, address: ListenAddress): Promise<void> {
  try {
    // What a process that was killed left behind would be in the way for ever.
    if (address.kind === "unix") await clearStaleSocket(address.path);
    await listener.listen();
  } catch (error) {
    if (error instanceof Error && !("code" in error))
      throw new Error(`listener ${name}: ${error.message}`, { cause: error });
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    const next =
      why === "EADDRINUSE" ? "something else listens there: stop it or choose another one" : "choose another one";
    throw new Error(`listener ${name}: ${address.text} cannot be bound (${why}): ${next}`, { cause: error });
  }
}
