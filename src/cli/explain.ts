import type { Command } from "commander";
import type { ListenerConfig, PosternConfig } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { Authority } from "../core/authority.ts";
import { Denial } from "../core/denial.ts";
import type { Destination } from "../core/destination.ts";
import type { Ask } from "../core/exchange.ts";
import { compilePolicy } from "../policy/compile.ts";
import { askOfUrl, explain, type Explanation } from "../policy/explain.ts";
import { AddressGuard, type SurveyedAddress } from "../policy/guard.ts";
import { CommandFailure, EXIT, type Terminal } from "./command.ts";
import { addConfigOption, configOf, loadNamed } from "./config-option.ts";
import { describeExplanation, explanationJson } from "./describe-explanation.ts";
import { policyFindings } from "./policy-findings.ts";
import { realSystem } from "./edge/system.ts";
import { version } from "./version.ts";

interface Options {
  readonly config: string;
  readonly session?: string;
  readonly header?: readonly string[];
  readonly resolve: boolean;
  readonly json?: boolean;
}

/** What `postern explain` tells beside the decision. */
export interface Explained {
  readonly method: string;
  readonly url: string;
  readonly listener: ListenerConfig;
  readonly explanation: Explanation;
  /** `null` when nothing was resolved: the request is denied, or `--no-resolve`. */
  readonly addresses: readonly SurveyedAddress[] | null;
  /** Why the addresses could not be found, or `null`. */
  readonly addressDenial: Denial | null;
  /** Those of the parent that is dialled; `null` as above, and where there is no parent. */
  readonly parentAddresses: readonly SurveyedAddress[] | null;
}

/** `postern explain METHOD URL`: the decision, the rule, the addresses and the credential's name; nothing is sent. */
export function register(command: Command, terminal: Terminal): void {
  const gather = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];
  addConfigOption(command, terminal)
    .argument("<method>", "GET, POST ...")
    .argument("<url>", "whole URL, such as https://api.openai.com/v1/models")
    .option("-s, --session <id>", "as the guest of this session; left out: of the first listener")
    .option<readonly string[]>("-H, --header <field>", 'a field of the request, "name: value"; repeatable', gather)
    .option("--no-resolve", "do not look the name up")
    .option("--json", "print JSON")
    .action(async (method: string, url: string, options: Options) => {
      const explained = await explainRequest(method, url, options, terminal);
      terminal.out(
        options.json === true
          ? `${JSON.stringify(explanationJson(explained), null, 2)}\n`
          : describeExplanation(explained),
      );
    });
}

async function explainRequest(method: string, url: string, options: Options, terminal: Terminal): Promise<Explained> {
  const ask = askFor(method, url, options.header ?? []);
  const { config } = configOf(loadNamed(options.config, terminal, (path) => loadConfig(path, policyFindings)));
  const listener = listenerOf(config, options.session);
  const { policy } = compilePolicy(config.destinations);
  // It compiled a moment ago.
  if (policy === null) throw new Error("the policy does not compile");
  const explanation = explain(policy, ask);
  const asked = { method: ask.method, url, listener, explanation };
  // A name that no guest may ask for is not asked for here either.
  const { decision, destination } = explanation;
  const isAnsweredHere = destination !== null && destination.synthetic !== null;
  if (
    !options.resolve ||
    destination === null ||
    isAnsweredHere ||
    (decision === "deny" && destination.tls !== "passthrough")
  )
    return { ...asked, ...NOT_LOOKED_UP };
  try {
    return { ...asked, ...(await survey(guardFor(config), ask.authority, destination)) };
  } catch (error) {
    if (error instanceof Denial) return { ...asked, ...NOT_LOOKED_UP, addressDenial: error };
    throw error;
  }
}

type Found = Pick<Explained, "addresses" | "addressDenial" | "parentAddresses">;
const NOT_LOOKED_UP: Found = { addresses: null, addressDenial: null, parentAddresses: null };

/** @throws Denial `name_unresolved` */
async function survey(guard: AddressGuard, authority: Authority, destination: Destination): Promise<Found> {
  const { parent, addresses: named } = destination;
  const byName = parent?.connectBy === "name" && authority.ip === null;
  const addresses = byName ? null : await guard.survey(authority, named);
  const addressDenial = byName ? guard.surveyName(authority, named) : null;
  const at = parent === null ? null : Authority.parse(parent.address, null);
  if (parent === null || at === null) return { addresses, addressDenial, parentAddresses: null };
  try {
    return { addresses, addressDenial, parentAddresses: await guard.survey(at, parent.destination.addresses) };
  } catch (error) {
    if (!(error instanceof Denial)) throw error;
    // As the edge itself would say it: the guest's own name is not what does not resolve.
    const cause = `parent ${parent.name}: ${error.code}: ${error.detail ?? ""}`;
    return { addresses, addressDenial: new Denial("upstream_unreachable", { cause }), parentAddresses: null };
  }
}

function askFor(method: string, url: string, headers: readonly string[]): Ask {
  const fields = headers.map((line): readonly [string, string] => {
    const parts = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~]*)$/.exec(line);
    if (parts === null) throw new CommandFailure(`--header "${line}": write "name: value"`, EXIT.usage);
    return [parts[1] as string, (parts[2] as string).trimEnd()];
  });
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(method))
    throw new CommandFailure(`"${method}" is not a method: write GET, POST ...`, EXIT.usage);
  const { ask, problem } = askOfUrl(method, url, fields);
  if (ask === null) throw new CommandFailure(problem, EXIT.usage);
  return ask;
}

function listenerOf(config: PosternConfig, session: string | undefined): ListenerConfig {
  const found = config.listeners.find(({ session: { claims } }) => session === undefined || claims.id === session);
  if (found !== undefined) return found;
  const known = [...new Set(config.listeners.map(({ session: { claims } }) => claims.id))];
  throw new CommandFailure(`no listener has session "${session}": the config knows ${known.join(", ")}`, EXIT.usage);
}

function guardFor(config: PosternConfig): AddressGuard {
  const { clock, lookup } = realSystem(version());
  const listening = [
    ...config.listeners.map(({ address }) => address),
    ...(config.admin === null ? [] : [config.admin.address]),
  ];
  const own = listening.flatMap((address) =>
    address.kind === "tcp" && address.port > 0 ? [{ address: address.host, port: address.port }] : [],
  );
  const { answerTtlMs, timeoutMs } = config.resolver;
  return new AddressGuard({ lookup: lookup(config), clock, own: () => own, ttlMs: answerTtlMs, timeoutMs });
}
