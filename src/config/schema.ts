import { z } from "zod";
import { catalogueSections } from "./catalogue-schema.ts";
import { credentialSchema } from "./credential-schema.ts";
import { destinationSchema } from "./destination-schema.ts";
import { listenerSchema } from "./listener-schema.ts";
import { parentSchema } from "./parent-schema.ts";
import { addressText, boundedText, nameText, parentName, pathText, whole } from "./primitives.ts";
import { vaultsSchema } from "./vault-schema.ts";

/**
 * The shape of the config file. Strict: what is not named here is an error. Every limit and timeout has bounds, a default
 * and its unit in the name; the texts become docs/configuration.md and the JSON Schema.
 */

export const adminSchema = z.strictObject({
  address: addressText.describe("Address for metrics and health; never one that guests can reach."),
  allow_network: z.boolean().default(false).describe("Spelled out where the address is not a loopback one."),
});

export const caSchema = z.strictObject({
  certificate: pathText.describe("PEM file: the CA, then its intermediates."),
  key: pathText.describe("PEM file of its key, mode 0600 or 0400."),
  passphrase_file: pathText.optional().describe("File with the passphrase of an encrypted key."),
});

export const tlsSchema = z.strictObject({
  leaf_lifetime_hours: whole(1, 168, 24, "Life of a minted certificate, `h`."),
  leaf_cache_entries: whole(16, 1_000_000, 1000, "Minted certificates that are kept in memory."),
});

export const upstreamSchema = z.strictObject({
  extra_roots: z.array(pathText).max(100).default([]).describe("PEM files of roots beside the system's."),
  parents: z
    .record(nameText, parentSchema, 'write a mapping of names, such as corp: { address: "proxy.corp.example:3128" }')
    .default({})
    .describe("Parent proxies that upstream connections can go through, by name."),
  parent: parentName
    .optional()
    .describe("Parent of every destination that names none itself; left out: upstreams are dialled directly."),
});

export const resolverSchema = z.strictObject({
  hosts: z
    .record(boundedText(260), z.array(boundedText(64)).min(1).max(64))
    .default({})
    .describe(
      "Names that are answered here, like a hosts file: `api.internal: [10.1.2.3]`, `*.internal: [...]`; checked like all answers.",
    ),
  answer_ttl_ms: whole(0, 300_000, 5000, "How long an answer of the system's resolver is used, `ms`."),
  timeout_ms: whole(100, 60_000, 5000, "How long a lookup may take, `ms`."),
});

export const limitsSchema = z.strictObject({
  head_bytes: whole(1024, 1_048_576, 65_536, "Largest request or answer head, bytes."),
  head_fields: whole(8, 4096, 256, "Most fields in a head."),
  trailer_bytes: whole(0, 1_048_576, 16_384, "Largest trailer section, bytes; 0 refuses trailers."),
  connections: whole(1, 1_000_000, 10_000, "Guest connections in all, and as many HTTP/2 streams."),
  connections_per_guest: whole(
    1,
    1_000_000,
    2000,
    "Guest connections of one guest, and as many HTTP/2 streams: of an IPv4 address, or of a /64 of IPv6 with all addresses in it.",
  ),
  http2_streams: whole(
    0,
    1000,
    100,
    "Streams of one HTTP/2 connection of a guest at a time; 0: HTTP/2 is not offered to guests.",
  ),
  upstream_connections_per_destination: whole(
    1,
    65_535,
    256,
    "Connections to one host and port of a destination on one set of addresses: the hosts of a wildcard, and the addresses that a name changes to, are counted each on their own, and so are those of HTTP/1.1 and of HTTP/2. Where there is more than one session, each gets three quarters of what the others leave.",
  ),
  interim_responses: whole(0, 1000, 16, "Most 1xx answers ahead of a final one."),
  held_body_bytes: whole(
    65_536,
    17_179_869_184,
    67_108_864,
    "Request bodies that are held whole at a time, bytes in all, since what is attached depends on them; a session gets a quarter at most, and a third of what others leave. Copies of what may have to be sent again to HTTP/2 upstreams, 64 KiB each, are taken from half of it.",
  ),
});

export const timeoutsSchema = z.strictObject({
  request_head_ms: whole(100, 600_000, 30_000, "A CONNECT or a request head, first byte to last, `ms`."),
  tls_hello_ms: whole(
    100,
    600_000,
    10_000,
    "From the answer to CONNECT, or the begin of a connection to a listener with `tls`, to the end of the handshake, `ms`.",
  ),
  proxy_protocol_ms: whole(100, 60_000, 2000, "From the begin of a connection to the end of its PROXY header, `ms`."),
  guest_idle_ms: whole(100, 3_600_000, 180_000, "Silence of a guest connection between requests, `ms`."),
  after_flood_ms: whole(
    0,
    10_000,
    2000,
    "Longest time between two new tunnels of a guest (counted as for `connections_per_guest`) whose HTTP/2 connections were ended for floods more than once within a minute, `ms`; it is 100 at first and doubles with each; 0: none is held.",
  ),
  half_close_ms: whole(
    0,
    600_000,
    10_000,
    "How long the answer may take to begin once a plain guest closed its sending side, since one that left looks the same, `ms`.",
  ),
  tunnel_idle_ms: whole(100, 43_200_000, 600_000, "Silence of a pass-through or upgraded tunnel, `ms`."),
  tunnel_life_ms: whole(1000, 43_200_000, 43_200_000, "Whole life of a tunnel, `ms`; at most 12 hours."),
  upstream_connect_ms: whole(100, 120_000, 10_000, "Connecting to an upstream, TLS included, `ms`."),
  upstream_head_ms: whole(100, 3_600_000, 300_000, "From the request's last byte to the head of the answer, `ms`."),
  body_idle_ms: whole(100, 3_600_000, 300_000, "Silence in the middle of a body, either side, `ms`."),
  upstream_keepalive_ms: whole(0, 600_000, 4000, "How long an idle upstream connection is kept, `ms`; 0 keeps none."),
  drain_ms: whole(0, 3_600_000, 30_000, "How long running exchanges may take after SIGTERM, `ms`."),
});

export const logSchema = z.strictObject({
  level: z
    .enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"])
    .default("info")
    .describe("Least severity that is logged."),
  exchanges: z.boolean().default(true).describe("One line an exchange."),
});

export const auditSchema = z.strictObject({
  file: pathText.describe("Hash-chained audit file, relative to the config file."),
  mode: z
    .enum(["durable_first", "strict"])
    .default("durable_first")
    .describe(
      "`strict`: no credential leaves without a record on disk; `durable_first`: records are written ahead, loss is counted.",
    ),
  fsync: z.enum(["always", "interval", "never"]).default("interval").describe("When records are forced to the disk."),
  fsync_interval_ms: whole(10, 60_000, 1000, "Interval of `fsync: interval`, `ms`."),
  rotate_bytes: whole(65_536, 1_099_511_627_776, 268_435_456, "Size at which a new file is begun, bytes."),
});

export const remoteSchema = z.strictObject({
  address: addressText.describe("`unix:/run/postern/custody.sock`, or `host:port` with `tls`."),
  tls: z
    .strictObject({
      ca: pathText.describe("PEM file of the roots that the custody's certificate must chain to."),
      certificate: pathText.describe("PEM file of the edge's client certificate."),
      key: pathText.describe("PEM file of its key."),
      server_name: boundedText(253)
        .optional()
        .describe("Name in the custody's certificate; left out: the host of `address`."),
    })
    .optional()
    .describe("Mutual TLS; needed with `host:port`."),
  timeout_ms: whole(50, 30_000, 2000, "One lease call, `ms`."),
});

const custodySchema = z.union([
  z
    .strictObject({
      embedded: z
        .strictObject({
          vaults: vaultsSchema,
          credentials: z.array(credentialSchema).max(10_000).describe("The catalogue."),
          ...catalogueSections,
        })
        .describe("The catalogue is in this file."),
    })
    .describe("Custody inside the edge process."),
  z.strictObject({ remote: remoteSchema.describe("How it is reached.") }).describe("A custody process of its own."),
]);

export const posternSchema = z.strictObject({
  listeners: z.array(listenerSchema).min(1).max(256).describe("Where guests connect."),
  admin: adminSchema.optional().describe("Metrics and health; left out: none."),
  ca: caSchema
    .optional()
    .describe("The CA that inspected TLS is ended with; needed by every destination with `tls: inspect` over https."),
  tls: tlsSchema.prefault({}).describe("Minted certificates."),
  upstream: upstreamSchema.prefault({}).describe("The side of the upstreams."),
  resolver: resolverSchema.prefault({}).describe("How names become addresses."),
  limits: limitsSchema.prefault({}).describe("Sizes and counts."),
  timeouts: timeoutsSchema.prefault({}).describe("Times."),
  log: logSchema.prefault({}).describe("The log on standard output."),
  audit: auditSchema.describe("The audit trail."),
  custody: z.record(nameText, custodySchema).default({}).describe("Where credentials are held, by name."),
  destinations: z
    .array(destinationSchema)
    .max(1_000_000)
    .default([])
    .describe("The allow-list. What is not named here is refused."),
});

export type RawPostern = z.output<typeof posternSchema>;
export type RawAdmin = z.output<typeof adminSchema>;
export type RawCa = z.output<typeof caSchema>;
export type RawUpstream = z.output<typeof upstreamSchema>;
export type RawResolver = z.output<typeof resolverSchema>;
export type RawRemote = z.output<typeof remoteSchema>;
export type TlsSection = z.output<typeof tlsSchema>;
export type LimitsSection = z.output<typeof limitsSchema>;
export type TimeoutsSection = z.output<typeof timeoutsSchema>;
export type LogSection = z.output<typeof logSchema>;
export type AuditSection = z.output<typeof auditSchema>;
