import { X509Certificate } from "node:crypto";
import type { Logger } from "pino";
import type { ListenerConfig, ListenerTlsFiles } from "../../config/config.ts";
import type { GuestListener } from "../../guest/listener.ts";
import type { ListenerTls } from "../../guest/tls-entrance.ts";
import { CommandFailure, EXIT } from "../command.ts";
import { readKeyFile, readPemFile } from "../pem-files.ts";

/** The certificates of a listener. @throws CommandFailure with a next step when one cannot be read or its key is exposed */
export function readListenerTls({ certificate, key, clients }: ListenerTlsFiles): ListenerTls {
  return {
    certificate: readPemFile(certificate),
    key: readKeyFile(key),
    clients: clients === null ? null : { ca: readRoots(clients.ca), required: clients.required },
  };
}

/** Without a root in it nobody would ever be verified, and nobody told why. */
function readRoots(path: string): string {
  const text = readPemFile(path);
  try {
    // Made only to see whether it parses.
    void new X509Certificate(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(`${path}: holds no certificate (${why}): name a PEM file of roots`, EXIT.usage);
  }
  return text;
}

/** Renewed files of the listeners: taken over for new connections; those that do not fit are told, and the old ones stay. */
export class ListenerCertificates {
  readonly #logger: Logger;
  readonly #held: {
    readonly listener: GuestListener;
    readonly name: string;
    readonly files: ListenerTlsFiles;
    tls: ListenerTls;
  }[] = [];

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** @param tls what the listener was made with */
  add(listener: GuestListener, { name, tls: files }: ListenerConfig, tls: ListenerTls | null): void {
    if (files !== null && tls !== null) this.#held.push({ listener, name, files, tls });
  }

  /** Reads the files anew. Never throws. */
  renew(): void {
    for (const held of this.#held) {
      const { listener, name: listenerName, files } = held;
      try {
        const tls = readListenerTls(files);
        if (isSame(tls, held.tls)) continue;
        const expires = new X509Certificate(tls.certificate).validToDate.toISOString();
        listener.renewTls(tls);
        held.tls = tls;
        this.#logger.info({ listener: listenerName, expires }, "renewed certificate in use");
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        this.#logger.error({ listener: listenerName, why }, "certificate not taken over: the old one stays in use");
      }
    }
  }
}

function isSame(a: ListenerTls, b: ListenerTls): boolean {
  return a.certificate === b.certificate && a.key === b.key && a.clients?.ca === b.clients?.ca;
}
