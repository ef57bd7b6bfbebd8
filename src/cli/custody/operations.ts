import type { Command } from "commander";
import { REVOCATION_SCOPES, type RevocationScope } from "../../core/revocation.ts";
import { CommandFailure, EXIT, type Terminal } from "../command.ts";
import { table } from "../table.ts";
import { askCustody } from "./operator-client.ts";

interface Given {
  readonly socket: string;
  readonly json?: boolean;
}

type Row = Readonly<Record<string, unknown>>;

const HELP = `
Exit codes: 0 done, 1 custody refuses or does not answer, 2 wrong usage.`;

/** `postern custody leases|revoke|lift|revocations|approvals|approve|deny`: over the operators' socket of a custody that runs. */
export function registerOperations(custody: Command, terminal: Terminal): void {
  const operation = (name: string, description: string): Command =>
    custody
      .command(name)
      .description(description)
      .requiredOption("--socket <path>", "the operators' socket of the custody")
      .option("--json", "print custody's answer as JSON")
      .addHelpText("after", HELP);
  const tell = (given: Given, answer: unknown, text: () => string): void =>
    terminal.out(given.json === true ? `${JSON.stringify(answer, null, 2)}\n` : text());

  operation("leases", "list leases that are out")
    .argument("[scope]", SCOPES, "all")
    .argument("[value]", "id of the session or lease, name of the credential or tenant")
    .option("--tenant <name>", "of the session")
    .option("--limit <n>", "how many are listed, 1 to 1000", "100")
    .action(async (scope: string, value: string | undefined, given: Given & { tenant?: string; limit: string }) => {
      const query = new URLSearchParams(targetOf(scope, value, given.tenant));
      query.set("limit", String(limitOf(given.limit)));
      const answer = (await askCustody(given.socket, "GET", `/v1/leases?${query.toString()}`)) as {
        readonly total: number;
        readonly leases: readonly Row[];
      };
      tell(given, answer, () => listed(answer.leases, LEASE_COLUMNS, answer.total, "leases are out"));
    });
  operation(
    "revoke",
    "revoke leases and refuse new ones, until it is lifted (a session: at most 12 h, a lease: 15 min)",
  )
    .argument("<scope>", SCOPES)
    .argument("[value]", "id of the session or lease, name of the credential or tenant; none with `all`")
    .requiredOption("--reason <text>", "why, for the record")
    .option("--tenant <name>", "of the session; left out: sessions of this id of every tenant")
    .action(async (scope: string, value: string | undefined, given: Given & { tenant?: string; reason: string }) => {
      const body = { ...targetOf(scope, value, given.tenant), reason: given.reason };
      const answer = (await askCustody(given.socket, "POST", "/v1/revocations", body)) as Row;
      tell(given, answer, () => revokedText(scope, answer));
    });
  operation("lift", "lift a revocation; leases that it ended stay ended")
    .argument("<id>", "of the revocation, as `revocations` lists it")
    .action(async (id: string, given: Given) => {
      const answer = (await askCustody(given.socket, "DELETE", `/v1/revocations/${encodeURIComponent(id)}`)) as Row;
      tell(given, answer, () => `lifted: ${plain(answer["id"])}\n`);
    });
  operation("revocations", "list what is revoked")
    .option("--limit <n>", "how many of the newest, 1 to 1000", "100")
    .action(async (given: Given & { limit: string }) => {
      const path = `/v1/revocations?limit=${limitOf(given.limit)}`;
      const answer = (await askCustody(given.socket, "GET", path)) as {
        readonly total: number;
        readonly revocations: readonly Row[];
      };
      tell(given, answer, () =>
        listed(answer.revocations, REVOCATION_COLUMNS, answer.total, "revocations are in force"),
      );
    });
  operation("approvals", "list what waits for an approval, and what was decided lately").action(
    async (given: Given) => {
      const answer = (await askCustody(given.socket, "GET", "/v1/approvals")) as { readonly approvals: readonly Row[] };
      tell(given, answer, () => listed(answer.approvals, APPROVAL_COLUMNS, answer.approvals.length, "approvals"));
    },
  );
  for (const [name, done, description] of [
    ["approve", "approved", "allow one lease that waits: once, within 10 minutes"],
    ["deny", "denied", "refuse a lease that waits, for 10 minutes"],
  ] as const)
    operation(name, description)
      .argument("<id>", "of the approval, as `approvals` lists it")
      .action(async (id: string, given: Given) => {
        const path = `/v1/approvals/${encodeURIComponent(id)}/${name}`;
        const answer = (await askCustody(given.socket, "POST", path)) as Row;
        tell(given, answer, () => `${done}: ${plain(answer["id"])}\n`);
      });
}

const SCOPES = REVOCATION_SCOPES.join(" | ");

const WHERE = ["credential", "destination", "host", "port"];
const LEASE_COLUMNS = ["lease_id", "edge", "tenant", "session", ...WHERE, "method_class", "left_ms"];
const REVOCATION_COLUMNS = ["id", "scope", "value", "tenant", "made_at", "left_ms", "by", "reason"];
const WHO = ["edge", "tenant", "session", "workspace", "subject"];
const APPROVAL_COLUMNS = ["id", "state", ...WHO, ...WHERE, "method_class", "narrow", "left_ms"];

/** @throws CommandFailure, code 2, for a target that says too much or too little */
function targetOf(scope: string, value: string | undefined, tenant: string | undefined): Record<string, string> {
  if (!(REVOCATION_SCOPES as readonly string[]).includes(scope))
    throw usage(`"${printable(scope)}" is no scope: write ${SCOPES}`);
  const known = scope as RevocationScope;
  if (known === "all" && value !== undefined) throw usage("`all` has no value: leave it out");
  if (known !== "all" && (value === undefined || value === ""))
    throw usage(`which ${known}? write it behind the scope`);
  if (tenant !== undefined && known !== "session") throw usage("--tenant goes with `session` alone");
  return { scope, ...(value === undefined ? {} : { value }), ...(tenant === undefined ? {} : { tenant }) };
}

/** Custody takes a name that nobody has yet: a slip of the pen in an incident has to be seen. */
function revokedText(scope: string, answer: Row): string {
  const ended = answer["leases_ended"];
  const told = `revoked: ${plain(answer["id"])}, ${plain(ended)} ${ended === 1 ? "lease" : "leases"} ended\n`;
  if (ended !== 0 || scope === "all") return told;
  return `${told}no lease of this ${scope} was out: see that ${plain(answer["value"])} is written as you mean it\n`;
}

function limitOf(text: string): number {
  if (!/^[1-9][0-9]{0,3}$/.test(text) || Number(text) > 1_000) throw usage("--limit: write a number from 1 to 1000");
  return Number(text);
}

function usage(message: string): CommandFailure {
  return new CommandFailure(message, EXIT.usage);
}

function listed(rows: readonly Row[], columns: readonly string[], total: number, what: string): string {
  const head = `${total} ${what}${rows.length < total ? `, ${rows.length} listed` : ""}\n`;
  if (rows.length === 0) return head;
  return head + table([columns, ...rows.map((row) => columns.map((column) => plain(row[column])))]);
}

/** What edges and guests chose is not printed to a terminal as it is. */
function plain(value: unknown): string {
  if (value === undefined) return "-";
  return typeof value === "string" ? printable(value) : JSON.stringify(value);
}

function printable(text: string): string {
  return /^[!-~](?:[ -~]*[!-~])?$/.test(text)
    ? text
    : JSON.stringify(text).replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
