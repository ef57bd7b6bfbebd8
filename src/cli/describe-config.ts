import type { CatalogueConfig } from "../config/catalogue.ts";
import type { CustodyBinding, CustodyConfig, ListenerConfig, PosternConfig, RemoteAddress } from "../config/config.ts";
import { hostText } from "../config/destination.ts";
import { formatReference } from "../core/canonical-reference.ts";
import type { CredentialEntry } from "../core/credential.ts";
import type { Destination, DestinationRule } from "../core/destination.ts";
import { narrowableOf } from "../core/mint.ts";
import { attachmentText } from "./attachment-text.ts";
import { credentialText, narrowingText } from "./credential-text.ts";
import { parentText } from "./describe-parent.ts";
import { table } from "./table.ts";

/** Destinations that are listed one by one; of more, only the number is told. */
const MOST_LISTED = 50;

/** What an edge's config means, for people. */
export function describeConfig(config: PosternConfig): string {
  const { listeners, admin, ca, audit, custodies, parents, destinations } = config;
  return [
    "listeners\n",
    table(
      listeners.map((listener) => {
        const { name, address, session } = listener;
        const { mode, claims } = session;
        return [
          name,
          address.text,
          waysText(listener),
          `${mode === "open" ? "everybody is" : "belongs to"} session ${claims.id} of tenant ${claims.tenant}, workspace ${claims.workspace}`,
        ];
      }),
    ),
    `admin\n  ${admin === null ? "none" : admin.address.text}\n`,
    `ca\n  ${ca === null ? "none: no destination is inspected over TLS" : ca.certificate}\n`,
    `audit\n  ${audit.file} (${audit.mode}, fsync ${audit.fsync})\n`,
    custodies.map(describeCustody).join(""),
    parents.length === 0 ? "" : `parents\n${table(parents.map((parent) => [parent.name, parentText(parent)]))}`,
    describeDestinations(destinations, parents.length > 0),
  ].join("");
}

/** How guests get to a listener. */
function waysText({ address, protocol, tls, proxySenders, socket: { mode, owner } }: ListenerConfig): string {
  const clients = tls?.clients ?? null;
  return [
    `${protocol === "http" ? "HTTP" : "SOCKS5"}${tls === null ? "" : " over TLS"}`,
    clients === null ? [] : `client certificates ${clients.required ? "required" : "optional"}`,
    proxySenders === null
      ? []
      : `PROXY protocol from ${proxySenders === "unix" ? "whoever is there" : proxySenders.join(", ")}`,
    address.kind !== "unix" ? [] : `mode 0${mode.toString(8)}${owner === null ? "" : ` of ${owner.uid}:${owner.gid}`}`,
  ]
    .flat()
    .join(", ");
}

/** What a custody's config means, for people. */
export function describeCustodyConfig(config: CustodyConfig): string {
  const clients = config.clients.map(({ name, tenants, may }) => [
    name,
    tenants === null ? "every tenant" : tenants.join(", "),
    `may ${may.join(", ")}`,
  ]);
  const { operators } = config;
  return [
    `listen\n  ${config.listen.address.text}${config.listen.tls === null ? "" : " (mutual TLS)"}\n`,
    clients.length === 0 ? "clients\n  whoever can open the socket\n" : `clients\n${table(clients)}`,
    operators === null
      ? ""
      : `operators\n  whoever can open unix:${operators.path} (mode 0${operators.mode.toString(8)})\n`,
    `state\n  ${config.state}\n`,
    `audit\n  ${config.audit.file} (${config.audit.mode}, fsync ${config.audit.fsync})\n`,
    `credentials\n${credentialTable(config.credentials)}`,
    besideCatalogue(config),
  ].join("");
}

function describeCustody(custody: CustodyBinding): string {
  if (custody.kind === "embedded")
    return `custody ${custody.name} (embedded)\n${credentialTable(custody.credentials)}${besideCatalogue(custody)}`;
  return `custody ${custody.name} (remote)\n  ${remoteText(custody.address)}${custody.tls === null ? "" : " (mutual TLS)"}\n`;
}

/** The store of a custody, and what its tenants may reach. */
function besideCatalogue({ store, tenantMounts }: CatalogueConfig): string {
  const tenants = [...(tenantMounts ?? [])].map(([tenant, mounts]) => [
    tenant,
    mounts.map((mount) => formatReference(mount)).join(", "),
  ]);
  return [
    store === null ? "" : `store\n  ${store.file} (key from ${sourceText(store.key)})\n`,
    tenants.length === 0 ? "" : `tenants may be issued from\n${table(tenants)}`,
  ].join("");
}

export function remoteText(address: RemoteAddress): string {
  return address.kind === "unix" ? `unix:${address.path}` : `${address.host}:${address.port}`;
}

function credentialTable(credentials: readonly CredentialEntry[]): string {
  if (credentials.length === 0) return "  none\n";
  return table(
    credentials.map(({ name, kind, source, mint, hosts, ttlSeconds, maxUses, approval }) => [
      name,
      kind,
      `${sourceText(source)}${mint === null ? "" : ` by ${mint.as}${narrowingText(narrowableOf(mint))}`}`,
      hosts.length > 3 ? `${hosts.slice(0, 3).join(", ")} and ${hosts.length - 3} more` : hosts.join(", "),
      `${ttlSeconds} s${maxUses === null ? "" : `, ${maxUses} uses`}${approval ? ", approval required" : ""}`,
    ]),
  );
}

export function sourceText(source: CredentialEntry["source"]): string {
  switch (source.from) {
    case "env":
      return `env ${source.variable}`;
    case "file":
      return `file ${source.path}`;
    case "exec":
      // Arguments may be secret.
      return `exec ${source.command[0] ?? ""}`;
    case "store":
      return `store ${source.name}`;
    case "vault":
      return `vault ${source.server.name} ${source.mount}/${source.path}`;
  }
}

/** @param showsWay whether there is more than one way to go */
function describeDestinations(rules: readonly DestinationRule[], showsWay: boolean): string {
  const title = `destinations: ${rules.length}\n`;
  if (rules.length === 0) return title;
  const row = (rule: DestinationRule): string[] =>
    showsWay ? [...destinationRow(rule), rule.destination.parent?.name ?? "direct"] : destinationRow(rule);
  const head = ["NAME", "HOST", "SCHEME", "TLS", "HTTP", "MODE", "ALLOWS", "CREDENTIAL"];
  const more = rules.length - MOST_LISTED;
  return [
    title,
    table([showsWay ? [...head, "VIA"] : head, ...rules.slice(0, MOST_LISTED).map(row)]),
    more > 0 ? `  and ${more} more\n` : "",
  ].join("");
}

function destinationRow({ destination, host, port, allow }: DestinationRule): string[] {
  return [
    destination.name,
    `${hostText(host)}:${port}`,
    destination.scheme,
    destination.scheme === "http" ? "-" : destination.tls,
    destination.tls === "passthrough" ? "-" : destination.http,
    destination.mode,
    destination.tls === "passthrough" ? "everything, unseen" : allowText(allow),
    destination.credential === null
      ? (syntheticText(destination) ?? "-")
      : `${credentialText(destination.credential)} as ${destination.attachments.map(attachmentText).join(", ")}`,
  ];
}

/** What the edge answers itself, or `null`. */
export function syntheticText({ synthetic }: Destination): string | null {
  return synthetic === null ? null : `answered by the edge as ${synthetic.as}`;
}

/** The first rule and how many follow. */
function allowText([first, ...rest]: DestinationRule["allow"]): string {
  if (first === undefined) return "nothing";
  const methods = first.methods === null ? "*" : first.methods.join(",");
  const paths = first.paths.length > 2 ? `${first.paths.slice(0, 2).join(" ")} ...` : first.paths.join(" ");
  return `${methods} ${paths}${rest.length > 0 ? ` and ${rest.length} more` : ""}`;
}
