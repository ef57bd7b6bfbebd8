import { z } from "zod";
import { addressText, boundedText, claimText, nameText, pathText } from "./primitives.ts";

/** The shape of a guest listener. */

const roles = z.array(claimText).max(64).default([]).describe("Roles of the session.");

const openSession = z
  .strictObject({
    mode: z.literal("open"),
    tenant: claimText.default("local").describe("Tenant of the session."),
    workspace: claimText.default("default").describe("Workspace of the session."),
    id: claimText.default("local").describe("Session id."),
    subject: claimText.optional().describe("Who acts; left out: the session id."),
    roles,
    allow_open_on_network: z
      .boolean()
      .default(false)
      .describe("Spelled out where an open session is wanted on an address that other machines can reach."),
  })
  .describe("Everybody who reaches the listener is this one session; only on loopback or a unix socket.");

const listenerSession = z
  .strictObject({
    mode: z.literal("listener"),
    tenant: claimText.describe("Tenant of the session."),
    workspace: claimText.default("default").describe("Workspace of the session."),
    id: claimText.describe("Session id; unique among the listeners."),
    subject: claimText.optional().describe("Who acts; left out: the session id."),
    roles,
  })
  .describe("The listener belongs to this one session: give its socket or port to that guest alone.");

const OCTAL = 'write four octal digits in quotes, such as "0660"';
const NUMBERS = 'write numbers, user and group, such as "1000:1000"';

const socketSchema = z.strictObject({
  mode: z
    .string(OCTAL)
    .regex(/^0[0-7]{3}$/, OCTAL)
    .default("0660")
    .describe("Permission bits in octal; who may write may connect."),
  owner: z
    .string(NUMBERS)
    .regex(/^(?:0|[1-9][0-9]{0,9}):(?:0|[1-9][0-9]{0,9})$/, NUMBERS)
    .optional()
    .describe("Numbers of user and group, `1000:1000`; left out: those of the edge. Names are not looked up."),
});

const listenerTlsSchema = z.strictObject(
  {
    certificate: pathText.describe("PEM file: the listener's own certificate, then its intermediates."),
    key: pathText.describe("PEM file of its key, mode 0600 or 0400."),
    client_ca: pathText.optional().describe("PEM file of the roots that client certificates must chain to."),
    client_certificates: z
      .enum(["required", "optional"])
      .optional()
      .describe("Goes with `client_ca`. `required`: no guest gets in without a verified one."),
  },
  "write a mapping such as { certificate: edge.crt, key: edge.key }",
);

const SENDERS = 'write "unix" for a unix socket, else a list such as [10.0.0.7]';

const proxyProtocolSchema = z.strictObject(
  {
    from: z
      .union(
        [
          z.array(boundedText(64)).min(1).max(256).describe("Addresses of the balancers, `10.0.0.7` or `10.0.0.0/24`."),
          z.string().regex(/^unix$/, SENDERS),
        ],
        SENDERS,
      )
      .describe(
        "Who announces guests, each connection begins with a header then, and connections from elsewhere are refused; `unix` for a unix socket.",
      ),
  },
  "write a mapping such as { from: [10.0.0.7] }",
);

/** What the scheme of a proxy URL would be is no protocol of its own here. */
function protocolAdvice({ input }: { readonly input?: unknown }): string | undefined {
  return input === "https" ? 'write "http", and certificate and key under `tls`' : undefined;
}

export const listenerSchema = z.strictObject({
  name: nameText.describe("Name in logs and audit records; unique."),
  address: addressText.describe(
    "`127.0.0.1:3128`, `[::1]:3128` or `unix:/run/postern/guests.sock`; port 0 lets the system choose.",
  ),
  protocol: z
    .enum(["http", "socks5"], { error: protocolAdvice })
    .default("http")
    .describe("What guests speak: an HTTP proxy's protocol, or SOCKS5 (CONNECT alone)."),
  socket: socketSchema.optional().describe("Who may connect through a unix socket."),
  tls: listenerTlsSchema
    .optional()
    .describe("Guests come over TLS: `HTTPS_PROXY=https://edge:3129`. Not with `protocol: socks5`."),
  proxy_protocol: proxyProtocolSchema
    .optional()
    .describe("A balancer stands in front and announces each guest by the PROXY protocol, version 1 or 2."),
  session: z
    .discriminatedUnion("mode", [openSession, listenerSession])
    .describe("Who the guests of this listener are."),
});

export type RawListener = z.output<typeof listenerSchema>;
