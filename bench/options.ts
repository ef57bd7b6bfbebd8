import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { contenders } from "./contenders/all.ts";
import { measures } from "./measures/all.ts";
import { surveys } from "./surveys/all.ts";

export interface Options {
  readonly quick: boolean;
  readonly json: string | null;
  /** Names of measures and surveys. */
  readonly only: ReadonlySet<string>;
  readonly contenders: ReadonlySet<string>;
  readonly rounds: number | null;
  /** Processes are started anew before every so many rounds, or `null`. */
  readonly freshEvery: number | null;
  /** The run ends with what it has when this is over, minutes. */
  readonly limitMinutes: number;
  readonly keepFiles: boolean;
  /** Absolute path of a folder, or `null`. */
  readonly profiles: string | null;
  /** Absolute path of another Postern tree to measure beside this one, or `null`. */
  readonly baseline: string | null;
}

export class UsageError extends Error {}

/** Everything that `--only` can name. */
const KNOWN = [...measures, ...surveys].map(({ name }) => name);

/** Short names for what belongs together. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  keepalive: ["keepalive-1", "keepalive-16", "keepalive-64"],
  bulk: ["download", "upload"],
  leases: ["custody", "renewals", "leases-memory"],
  h2: ["h2-keepalive", "h2-upstream", "grpc-unary"],
};

export const USAGE = `npm run bench -- [options]
  --quick               about 7 minutes, two short rounds: for a look, not for a verdict
  --only a,b            ${[...KNOWN, ...Object.keys(GROUPS)].join(", ")}
  --contenders a,b      ${contenders.map((each) => each.name).join(", ")}
  --baseline FOLDER     another checkout of Postern, packages installed, takes part as \`baseline\`
  --rounds N            rounds instead of the usual number
  --fresh N             start everybody anew before every Nth round: no process of one contender is the lucky one for long
  --json FILE           write every figure of every round
  --limit-minutes N     end with what there is after N minutes (default 40)
  --profile FOLDER      write a CPU profile of Postern's process (its figures suffer: look at shares, not at seconds)
  --keep                keep the temporary folder with configurations and logs
`;

/** @throws UsageError */
export function parseOptions(args: readonly string[]): Options | "help" {
  const values = parse(args);
  if (values.help === true) return "help";
  return {
    quick: values.quick === true,
    json: values.json ?? null,
    only: names("--only", values.only, KNOWN, GROUPS),
    contenders: names(
      "--contenders",
      values.contenders,
      contenders.map((each) => each.name),
      {},
    ),
    rounds: values.rounds === undefined ? null : whole("--rounds", values.rounds, 1, 40),
    freshEvery: values.fresh === undefined ? null : whole("--fresh", values.fresh, 1, 40),
    limitMinutes: whole("--limit-minutes", values["limit-minutes"] ?? "40", 1, 240),
    keepFiles: values.keep === true,
    profiles: values.profile === undefined ? null : resolve(values.profile),
    baseline: values.baseline === undefined ? null : resolve(values.baseline),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: "boolean" },
        json: { type: "string" },
        only: { type: "string" },
        contenders: { type: "string" },
        rounds: { type: "string" },
        fresh: { type: "string" },
        "limit-minutes": { type: "string" },
        keep: { type: "boolean" },
        profile: { type: "string" },
        baseline: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

function names(
  option: string,
  text: string | undefined,
  known: readonly string[],
  groups: Readonly<Record<string, readonly string[]>>,
): ReadonlySet<string> {
  if (text === undefined) return new Set(known);
  const chosen = text.split(",").flatMap((name) => groups[name] ?? [name]);
  const unknown = chosen.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new UsageError(
      `${option}: unknown ${unknown.join(", ")}; known: ${[...known, ...Object.keys(groups)].join(", ")}`,
    );
  return new Set(chosen);
}

function whole(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most)
    throw new UsageError(`${option} ${text}: write a whole number from ${least} to ${most}`);
  return value;
}
