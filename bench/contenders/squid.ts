import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Stage } from "../stage/stage.ts";
import { destinationHost, INJECTED_AUTHORIZATION, OPAQUE_HOST, SPECIAL_HOSTS } from "../wire/fixtures.ts";
import type { Contender } from "./contender.ts";
import { outputOf, startProgram } from "./program.ts";

/** Squid with ssl-bump: bumps at step 1 (or lets pass, where that is asked for), mints per host, replaces Authorization, an allow-list by name, access log on. */
export const squid: Contender = {
  name: "squid",
  kind: "forward",
  inspect() {
    const version = findVersion();
    if (version === null) return { absent: "no `squid` here: apt-get install squid-openssl" };
    if (!version.includes("--enable-ssl-crtd")) return { absent: "squid has no TLS: apt-get install squid-openssl" };
    if (findMinter() === null) return { absent: "squid's security_file_certgen is not where it is looked for" };
    return { version: /Version (\S+)/.exec(version)?.[1] ?? "unknown" };
  },
  start(stage, { folder, destinations }) {
    const accessLog = join(folder, "access.log");
    return startProgram(stage, {
      name: "squid",
      kind: "forward",
      folder,
      trust: stage.certificates.ca,
      logs: [accessLog],
      command(port) {
        // Squid leaves root for a user of its own, who writes here.
        chmodSync(folder, 0o777);
        const hosts = [...SPECIAL_HOSTS, ...Array.from({ length: destinations }, (_, i) => destinationHost(i))];
        writeFileSync(join(folder, "hosts"), hosts.map((host) => `127.0.0.1 ${host}\n`).join(""));
        writeFileSync(join(folder, "allowed"), hosts.map((host) => `${host}\n`).join(""));
        const minter = `${findMinter() ?? ""} -s ${join(folder, "leaves")} -M 16MB`;
        writeFileSync(join(folder, "squid.conf"), config({ stage, folder, port, minter, accessLog }));
        execFileSync("/bin/sh", ["-c", `${minter} -c`], { stdio: "ignore", timeout: 10_000 });
        execFileSync("chmod", ["-R", "a+rwX", join(folder, "leaves")]);
        return ["squid", "-N", "-f", join(folder, "squid.conf")];
      },
    });
  },
};

interface SquidSettings {
  readonly stage: Stage;
  readonly folder: string;
  readonly port: number;
  readonly minter: string;
  readonly accessLog: string;
}

/**
 * `client_request_buffer_max_size`: when an upload fills that buffer, Squid 5.7 asks TLS for zero bytes, takes the answer for the
 * client's end and hangs up; with the default of 512 KB most 100 MB uploads break, whatever the client.
 */
function config({ stage, folder, port, minter, accessLog }: SquidSettings): string {
  const { ca, caKey, upstreamCa } = stage.certificates;
  return `
http_port 127.0.0.1:${port} ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=16MB tls-cert=${ca} tls-key=${caKey}
sslcrtd_program ${minter}
sslcrtd_children 2 startup=2 idle=1
tls_outgoing_options cafile=${upstreamCa}
acl step1 at_step SslBump1
acl opaque dstdomain ${OPAQUE_HOST}
ssl_bump splice opaque
ssl_bump bump step1
acl allowed dstdomain "${join(folder, "allowed")}"
http_access deny !allowed
http_access allow all
request_header_access Authorization deny all
request_header_add Authorization "${INJECTED_AUTHORIZATION}" all
http_upgrade_request_protocols websocket allow all
hosts_file ${join(folder, "hosts")}
access_log stdio:${accessLog}
cache_log ${join(folder, "cache.log")}
cache deny all
cache_mem 8 MB
client_request_buffer_max_size 16 MB
pid_filename ${join(folder, "squid.pid")}
coredump_dir ${folder}
visible_hostname bench
pinger_enable off
max_filedescriptors 16384
shutdown_lifetime 0 seconds
`;
}

function findVersion(): string | null {
  return outputOf("squid", "-v");
}

function findMinter(): string | null {
  const places = ["/usr/lib/squid", "/usr/lib64/squid", "/usr/libexec/squid", "/usr/local/squid/libexec"];
  return places.map((folder) => join(folder, "security_file_certgen")).find((path) => existsSync(path)) ?? null;
}
