import { join } from "node:path";
import type { Contender } from "./contender.ts";
import { nodeCommand } from "./node-program.ts";
import { startProgram } from "./program.ts";

/** A CONNECT relay in twenty lines: what Node needs to carry bytes that nobody looks at. It takes part where that is measured. */
export const bareRelay: Contender = {
  name: "bare-relay",
  kind: "relay",
  inspect: () => ({ version: "" }),
  start(stage, { folder }) {
    return startProgram(stage, {
      name: "bare-relay",
      kind: "relay",
      folder,
      trust: stage.certificates.upstreamCa,
      command: (port) => nodeCommand(join(import.meta.dirname, "bare-relay-process.ts"), String(port)),
    });
  },
};
