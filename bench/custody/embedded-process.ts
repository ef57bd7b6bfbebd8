import { randomBytes } from "node:crypto";
import { issueAudit } from "../../src/audit/privileged.ts";
import { AuditTrail } from "../../src/audit/trail.ts";
import { systemClock as clock } from "../../src/cli/edge/system.ts";
import { EmbeddedCustody } from "../../src/custody/embedded.ts";
import { serveJobs } from "../wire/worker.ts";
import { type Asking, CREDENTIAL, tallyLeases } from "./ask.ts";
import { EDGE_AUDIT, ROTATE_BYTES } from "./audit.ts";
import { openIssuer } from "./issuer.ts";

/** The process of an edge as far as its custody goes, which asks itself: what it counts holds the asking. */

const audit = await AuditTrail.open({
  ...EDGE_AUDIT,
  file: process.argv[2] ?? "",
  rotateBytes: ROTATE_BYTES,
  instance: "bench",
  clock,
  randomBytes,
  onAlarm: (alarm) => process.stderr.write(`${JSON.stringify(alarm)}\n`),
});
const custody = new EmbeddedCustody(openIssuer([CREDENTIAL], clock, issueAudit(audit)));

serveJobs((job: Asking) => tallyLeases(custody, { pid: process.pid }, job));
