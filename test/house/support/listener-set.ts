import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCa, type TestCa, type TestLeaf } from "./certificates.ts";
import type { ConfigPart } from "./edge.ts";
import { freePorts } from "./postern-process.ts";

/** One listener of each kind, to stand beside the plain one. */
export interface ListenerSet {
  readonly listeners: readonly ConfigPart[];
  readonly ports: Readonly<Record<PortName, number>>;
  readonly sockets: { readonly socks: string; readonly announced: string };
  /** Issued the listeners' own certificate, and the guest's. */
  readonly ca: TestCa;
  /** For `localhost` and 127.0.0.1. */
  readonly own: TestLeaf;
  /** A client certificate that `mutual` and `asking` take. */
  readonly guest: TestLeaf;
  /** One of the right CA, but for servers. */
  readonly serverOnly: TestLeaf;
  /** One of a CA that nobody trusts. */
  readonly stranger: TestLeaf;
  remove(): Promise<void>;
}

/** `announced*` take the PROXY protocol from 127.0.0.1. */
type PortName = "tls" | "mutual" | "asking" | "socks" | "announced" | "announcedTls" | "announcedSocks";

export async function listenerSet(): Promise<ListenerSet> {
  const directory = await mkdtemp(join(tmpdir(), "postern-ways-"));
  const ca = await makeCa(join(directory, "ca"), "Listener CA");
  const own = await ca.issue(["localhost", "127.0.0.1"]);
  const { certificateFile: certificate, keyFile: key } = own;
  const [tls = 0, mutual = 0, asking = 0, socks = 0, announced = 0, announcedTls = 0, announcedSocks = 0] =
    await freePorts(7);
  const ports = { tls, mutual, asking, socks, announced, announcedTls, announcedSocks };
  const sockets = { socks: join(directory, "socks.sock"), announced: join(directory, "announced.sock") };
  const at = (name: PortName, more: ConfigPart): ConfigPart => ({
    name,
    address: `127.0.0.1:${ports[name]}`,
    session: { mode: "open", id: name },
    ...more,
  });
  const asked = (client_certificates: string): ConfigPart => ({
    tls: { certificate, key, client_ca: ca.certificateFile, client_certificates },
  });
  const proxy_protocol = { from: ["127.0.0.1"] };
  return {
    listeners: [
      at("tls", { tls: { certificate, key } }),
      at("mutual", asked("required")),
      at("asking", asked("optional")),
      at("socks", { protocol: "socks5" }),
      at("announced", { proxy_protocol }),
      at("announcedTls", { proxy_protocol, tls: { certificate, key } }),
      at("announcedSocks", { proxy_protocol, protocol: "socks5" }),
      { name: "socks-file", address: `unix:${sockets.socks}`, protocol: "socks5", session: { mode: "open", id: "f" } },
      {
        name: "announced-file",
        address: `unix:${sockets.announced}`,
        proxy_protocol: { from: "unix" },
        session: { mode: "open", id: "g" },
      },
    ],
    ports,
    sockets,
    ca,
    own,
    guest: await ca.issue(["guest.test"]),
    serverOnly: await ca.issue(["guest.test"], { extendedKeyUsage: "serverAuth" }),
    stranger: await (await makeCa(join(directory, "other-ca"), "Another CA")).issue(["guest.test"]),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
