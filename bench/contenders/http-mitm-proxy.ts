import { join } from "node:path";
import type { Contender } from "./contender.ts";
import { nodeCommand, packageVersion } from "./node-program.ts";
import { startProgram } from "./program.ts";

/** http-mitm-proxy in a process of its own, told to replace Authorization. Its CA has to be RSA. */
export const httpMitmProxy: Contender = {
  name: "http-mitm-proxy",
  kind: "forward",
  // It has no way to leave TLS alone but to be given a relay of one's own.
  without: ["pass-through"],
  inspect() {
    const version = packageVersion("http-mitm-proxy");
    return version === null ? { absent: "http-mitm-proxy is not installed: npm ci" } : { version };
  },
  start(stage, { folder, destinations }) {
    return startProgram(stage, {
      name: "http-mitm-proxy",
      kind: "forward",
      folder,
      trust: stage.certificates.rsaCa,
      command: (port) =>
        nodeCommand(
          join(import.meta.dirname, "http-mitm-proxy-process.ts"),
          String(port),
          stage.certificates.rsaCaFolder,
          stage.certificates.upstreamCa,
          String(destinations),
        ),
    });
  },
};
