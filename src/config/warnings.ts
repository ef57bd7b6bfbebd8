import type { PosternConfig } from "./config.ts";
import { isLocal } from "./listen-address.ts";

/** What a config may mean and hardly ever should; each ends in what to write. */
export function warningsOf(config: PosternConfig): readonly string[] {
  return [
    ...(config.destinations.length === 0 ? ["destinations: none is named, so everything is refused: name some"] : []),
    ...(config.admin === null ? ["admin: left out, so there is no health check and no metrics: name an address"] : []),
    ...openListeners(config),
    ...destinationWarnings(config),
    ...parentWarnings(config),
    ...idleCredentials(config),
    ...(config.audit.fsync === "never"
      ? ["audit.fsync: never loses records when the machine stops: write interval or always"]
      : []),
  ];
}

function openListeners(config: PosternConfig): string[] {
  return config.listeners.flatMap(({ name, address, session }) =>
    session.mode === "open" && !isLocal(address)
      ? [`listener ${name}: whoever reaches ${address.text} is session ${session.claims.id}: give each guest its own`]
      : [],
  );
}

/** Per kind the first few destinations are named: an allow-list may hold a hundred thousand. */
const MOST_NAMED = 3;

function destinationWarnings(config: PosternConfig): string[] {
  const kinds: readonly (readonly [string, (rule: PosternConfig["destinations"][number]) => boolean])[] = [
    [
      "mode: report lets through what would be denied: write enforce once the counts are quiet",
      ({ destination }) => destination.mode === "report",
    ],
    [
      "the credential travels readable over http: write scheme: https where the upstream has it",
      ({ destination }) => destination.credential !== null && destination.scheme === "http",
    ],
    [
      "a query parameter shows in the upstream's logs: attach as a header where the upstream takes one",
      ({ destination }) => destination.attachments.some(({ as }) => as === "query"),
    ],
    [
      "addresses are not looked at where a parent resolves the name: leave them out, or write connect_by: address",
      ({ destination, host }) =>
        destination.parent?.connectBy === "name" && host.kind !== "ip" && destination.addresses.length > 0,
    ],
    [
      "a credential goes with every method and path: write what the guest needs",
      ({ destination, allow }) =>
        destination.credential !== null &&
        allow.some((rule) => rule.methods === null && rule.paths.includes("/**") && rule.query === null),
    ],
  ];
  return kinds.flatMap(([text, applies]) => {
    const names = config.destinations.filter(applies).map(({ destination }) => destination.name);
    if (names.length === 0) return [];
    const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : "";
    return [`destination ${names.slice(0, MOST_NAMED).join(", ")}${more}: ${text}`];
  });
}

function parentWarnings({ parents, destinations }: PosternConfig): string[] {
  const used = new Set(destinations.map(({ destination: { parent } }) => parent?.name));
  return parents.flatMap(({ name, destination: { credential, scheme } }) => [
    ...(used.has(name) ? [] : [`parent ${name}: no destination goes through it: take it out`]),
    ...(credential !== null && scheme === "http"
      ? [`parent ${name}: the credential travels readable over http: write tls where the parent has it`]
      : []),
  ]);
}

function idleCredentials(config: PosternConfig): string[] {
  const used = new Set(
    [...config.destinations, ...config.parents].map(
      ({ destination: { credential } }) => `${credential?.custody ?? ""}/${credential?.name ?? ""}`,
    ),
  );
  return config.custodies.flatMap((custody) =>
    custody.kind === "remote"
      ? []
      : custody.credentials
          .filter(({ name }) => !used.has(`${custody.name}/${name}`))
          .map(({ name }) => `credential ${custody.name}/${name}: no destination uses it: take it out`),
  );
}
