import { join } from "node:path";
import type { Contender } from "./contender.ts";
import { nodeCommand, packageVersion } from "./node-program.ts";
import { startProgram } from "./program.ts";

/** mockttp in a process of its own, told to replace Authorization and to keep no traffic in memory. */
export const mockttp: Contender = {
  name: "mockttp",
  kind: "forward",
  // It can attach nothing to an upgrade, and it could only pass through by looking into every hello of every measure.
  without: ["websocket", "pass-through"],
  inspect() {
    const version = packageVersion("mockttp");
    return version === null ? { absent: "mockttp is not installed: npm ci" } : { version };
  },
  start(stage, { folder }) {
    return startProgram(stage, {
      name: "mockttp",
      kind: "forward",
      folder,
      trust: stage.certificates.ca,
      // Its own option for further roots parses all roots again for every connection: 1 MB and 10 ms each.
      env: { NODE_EXTRA_CA_CERTS: stage.certificates.upstreamCa },
      command: (port) =>
        nodeCommand(
          join(import.meta.dirname, "mockttp-process.ts"),
          String(port),
          stage.certificates.ca,
          stage.certificates.caKey,
        ),
    });
  },
};
