import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ListenerSet } from "./listener-set.ts";
import { freePorts } from "./postern-process.ts";
import { bareEnv } from "./run.ts";

/** HAProxy in front of an edge, as operators set it up: `mode tcp`, `send-proxy` or `send-proxy-v2`. */
export interface Haproxy {
  readonly ports: Readonly<Record<"http1" | "http2" | "checked" | "unix" | "tls" | "socks", number>>;
  stop(): Promise<void>;
}

export async function startHaproxy({ ports: edge, sockets }: ListenerSet): Promise<Haproxy> {
  const directory = await mkdtemp(join(tmpdir(), "postern-haproxy-"));
  const [http1 = 0, http2 = 0, checked = 0, unix = 0, tls = 0, socks = 0] = await freePorts(6);
  const ports = { http1, http2, checked, unix, tls, socks };
  const servers: Readonly<Record<keyof typeof ports, string>> = {
    http1: `127.0.0.1:${edge.announced} send-proxy`,
    // Checks announce nobody (LOCAL) and end at once; how long they take an edge that does not get to run is no failure.
    http2: `127.0.0.1:${edge.announced} send-proxy-v2 check inter 100 check-send-proxy`,
    checked: `127.0.0.1:${edge.announced} send-proxy-v2 proxy-v2-options crc32c,unique-id`,
    unix: `unix@${sockets.announced} send-proxy-v2`,
    tls: `127.0.0.1:${edge.announcedTls} send-proxy-v2`,
    socks: `127.0.0.1:${edge.announcedSocks} send-proxy`,
  };
  const proxies = Object.entries(servers).map(
    ([name, server]) => `listen ${name}
  bind 127.0.0.1:${ports[name as keyof typeof ports]}
  unique-id-format %{+X}o\\ %ci:%cp
  server edge ${server}
`,
  );
  const file = join(directory, "haproxy.cfg");
  await writeFile(
    file,
    `global
  maxconn 500
defaults
  mode tcp
  timeout connect 60s
  timeout client 60s
  timeout server 60s
  timeout check 60s
${proxies.join("")}`,
  );
  const child = spawn("haproxy", ["-db", "-f", file], { env: bareEnv(directory), stdio: "pipe" });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
  for (const port of Object.values(ports)) await reachable(port, () => output);
  return {
    ports,
    async stop() {
      child.kill("SIGTERM");
      await gone;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function reachable(port: number, output: () => string): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const isUp = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true));
      socket.on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (isUp) return;
    if (performance.now() > deadline) throw new Error(`haproxy does not listen on ${port}: ${output()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
