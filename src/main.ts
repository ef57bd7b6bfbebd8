#!/usr/bin/env node
import type { CommandEntry } from "./cli/command.ts";
import { runProgram } from "./cli/program.ts";
import { version } from "./cli/version.ts";

/** The commands of the house. A further one is a file in `cli/` and a line here. */
const COMMANDS: readonly CommandEntry[] = [
  {
    name: "serve",
    summary: "run the edge",
    load: () => import("./cli/serve.ts"),
    unparsed: async (words) => (await import("./cli/serve.ts")).unparsed(words),
  },
  {
    name: "dev",
    summary: "try an edge with a custody, a throw-away CA and a demo upstream, no configuration",
    load: () => import("./cli/dev.ts"),
  },
  {
    name: "check",
    summary: "tell what a config means, or all that is wrong with it",
    load: () => import("./cli/check.ts"),
  },
  {
    name: "explain",
    summary: "tell what a config does with a request, without sending it",
    load: () => import("./cli/explain.ts"),
  },
  {
    name: "custody",
    summary: "run the credential custody as a process of its own",
    load: () => import("./cli/custody.ts"),
  },
  {
    name: "ca",
    summary: "make the CA that guests trust, or tell what one is worth",
    load: () => import("./cli/ca.ts"),
  },
  {
    name: "guest-env",
    summary: "print the variables, and write the CA files, that lead a guest's programs to the edge",
    load: () => import("./cli/guest-env.ts"),
  },
  {
    name: "audit",
    summary: "check the hash chain of audit files, or print their last records",
    load: () => import("./cli/audit.ts"),
  },
  {
    name: "schema",
    summary: "print or write the JSON Schema and the reference of the config",
    load: () => import("./cli/schema.ts"),
  },
];

// A reader that has seen enough (`postern check | head`) or a terminal that was closed is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE" && error.code !== "EIO") throw error;
});

// With nothing left to do Node would take apart what it has not collected, in an order that HTTP/2 sessions do not survive (docs/decisions/0030).
process.once("beforeExit", (code) => process.exit(code));

process.exitCode = await runProgram(COMMANDS, version(), process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  env: process.env,
  cwd: process.cwd(),
});
