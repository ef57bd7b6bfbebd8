import type { CatalogueConfig } from "../config/catalogue.ts";
import type { CustodyBinding, CustodyConfig, ListenerConfig, PosternConfig } from "../config/config.ts";
import { hostText } from "../config/destination.ts";
import { formatReference } from "../core/canonical-reference.ts";
import type { CredentialEntry } from "../core/credential.ts";
import { narrowableOf } from "../core/mint.ts";
import type { DestinationRule } from "../core/destination.ts";
import { attachmentText } from "./attachment-text.ts";
import { parentJson } from "./describe-parent.ts";
import { remoteText, sourceText } from "./describe-config.ts";

/** What `postern check --json` prints of an edge's config: the same facts as the text, every destination included. */
export function configJson(config: PosternConfig): object {
  return {
    listeners: config.listeners.map(listenerJson),
    admin: config.admin?.address.text ?? null,
    ca: config.ca?.certificate ?? null,
    audit: config.audit,
    limits: config.limits,
    timeouts: config.timeouts,
    custodies: config.custodies.map(custodyJson),
    parents: config.parents.map(parentJson),
    destinations: config.destinations.map(destinationJson),
  };
}

/** As `configJson`, of a custody's config. */
export function custodyConfigJson(config: CustodyConfig): object {
  return {
    listen: config.listen.address.text,
    mutual_tls: config.listen.tls !== null,
    clients: config.clients,
    audit: config.audit,
    credentials: config.credentials.map(credentialJson),
    ...besideJson(config),
  };
}

function besideJson({ store, tenantMounts }: CatalogueConfig): object {
  return {
    store: store === null ? null : { file: store.file, key: sourceText(store.key) },
    tenants:
      tenantMounts === null
        ? null
        : Object.fromEntries(
            [...tenantMounts].map(([tenant, mounts]) => [tenant, mounts.map((mount) => formatReference(mount))]),
          ),
  };
}

function listenerJson({ name, address, protocol, tls, proxySenders, session, socket }: ListenerConfig): object {
  const clients = tls?.clients ?? null;
  return {
    name,
    address: address.text,
    protocol,
    tls: tls !== null,
    client_certificates: clients === null ? null : clients.required ? "required" : "optional",
    proxy_protocol: proxySenders,
    socket: address.kind === "unix" ? { mode: `0${socket.mode.toString(8)}`, owner: socket.owner } : null,
    session: { mode: session.mode, ...session.claims },
  };
}

function custodyJson(custody: CustodyBinding): object {
  return custody.kind === "embedded"
    ? {
        name: custody.name,
        kind: custody.kind,
        credentials: custody.credentials.map(credentialJson),
        ...besideJson(custody),
      }
    : { name: custody.name, kind: custody.kind, address: remoteText(custody.address), timeout_ms: custody.timeoutMs };
}

function credentialJson(entry: CredentialEntry): object {
  const { name, kind, hosts, tenants, ttlSeconds, maxUses, approval } = entry;
  return {
    name,
    kind,
    source: sourceText(entry.source),
    mint: entry.mint?.as ?? null,
    narrow_within: narrowableOf(entry.mint),
    hosts,
    tenants,
    ttl_seconds: ttlSeconds,
    max_uses: maxUses,
    approval: approval ? "required" : null,
  };
}

function destinationJson({ destination, host, port, allow }: DestinationRule): object {
  const { name, scheme, tls, mode, credential, attachments, synthetic, parent } = destination;
  return {
    name,
    host: hostText(host),
    port,
    scheme,
    tls,
    mode,
    allow,
    credential: credential === null ? null : `${credential.custody}/${credential.name}`,
    narrow: credential?.narrow ?? null,
    attachments: attachments.map(attachmentText),
    synthetic: synthetic?.as ?? null,
    parent: parent?.name ?? null,
  };
}
