import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Running } from "../contenders/contender.ts";
import { imageEnvironment, posternCommand, THIS_TREE } from "../contenders/postern.ts";
import { startProgram } from "../contenders/program.ts";
import type { Stage } from "../stage/stage.ts";
import { EDGE_NAME, INJECTED_TOKEN, ZONE } from "../wire/fixtures.ts";
import { CREDENTIAL } from "./ask.ts";
import { CUSTODY_AUDIT, ROTATE_BYTES } from "./audit.ts";

/** `postern custody` over mutual TLS. @param auditFolder where its audit file is to lie */
export function startCustody(stage: Stage, folder: string, auditFolder: string): Promise<Running> {
  return startProgram(stage, {
    name: "custody",
    kind: "reverse",
    folder,
    trust: stage.certificates.upstreamCa,
    env: { BENCH_CREDENTIAL: INJECTED_TOKEN, ...imageEnvironment(THIS_TREE) },
    async command(port) {
      const file = join(folder, "custody.yaml");
      writeFileSync(file, custodyConfig(stage, port, auditFolder));
      return [...(await posternCommand(THIS_TREE)), "custody", "--config", file];
    },
  });
}

/** The text of its config file. One edge may ask as often as it can: what is shipped ends it at 1,000 leases/s. */
export function custodyConfig(
  { certificates }: Pick<Stage, "certificates">,
  port: number,
  auditFolder: string,
): string {
  return `
listen:
  address: 127.0.0.1:${port}
  tls:
    certificate: ${certificates.upstream}
    key: ${certificates.upstreamKey}
    client_ca: ${certificates.upstreamCa}
clients:
  - name: ${EDGE_NAME}
limits: { requests_per_second: 100000, burst: 1000000 }
state: custody.state
credentials:
  - name: ${CREDENTIAL}
    kind: token
    source: { env: BENCH_CREDENTIAL }
    hosts: ["*.${ZONE}:443"]
    ttl_seconds: 900
audit:
  file: ${join(auditFolder, "audit.jsonl")}
  mode: ${CUSTODY_AUDIT.mode}
  fsync: ${CUSTODY_AUDIT.fsync}
  rotate_bytes: ${ROTATE_BYTES}
`;
}
