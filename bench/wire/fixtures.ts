/** What client and upstream of the bench agree on. */

/** The credential that a proxy is to attach; the upstream counts every request that does not carry exactly this. */
export const INJECTED_AUTHORIZATION = "Bearer bench-4Zr0pWm3uYc1sLq8hTn6vXk2";
/** What the guest says by itself: a stand-in that has to be replaced. */
export const GUEST_AUTHORIZATION = "Bearer sk-stand-in-of-the-guest";

/** The token alone, as custody holds it. */
export const INJECTED_TOKEN = INJECTED_AUTHORIZATION.slice("Bearer ".length);

/** 100 MB, decimal. */
export const BULK_BYTES = 100_000_000;

/** 1 KB of JSON, always the same bytes. */
export const JSON_BODY = Buffer.from(jsonOfLength(1024), "latin1");

/** Names of the destinations: every one resolves to the loopback upstream. */
export const ZONE = "bench.test";
/** How many are on the allow-list where nothing else is measured of it. */
export const DESTINATIONS = 1000;
/** Destination `index` of the allow-list. */
export function destinationHost(index: number): string {
  return `api-${index}.${ZONE}`;
}
/** The destination that is reached over plain HTTP. */
export const PLAIN_HOST = `plain.${ZONE}`;
/** The destination of long answers and upgraded connections: server-sent events, WebSocket. */
export const LIVE_HOST = `live.${ZONE}`;
/** The destination whose upstream speaks HTTP/2 and nothing else. */
export const HTTP2_HOST = `h2.${ZONE}`;
/** The destination that is not looked into. */
export const OPAQUE_HOST = `opaque.${ZONE}`;
/** The destination that is flooded; its upstream is a process of its own. */
export const FLOODED_HOST = `flooded.${ZONE}`;
/** Where custody is a process of its own. */
export const CUSTODY_NAME = `custody.${ZONE}`;
/** The edge that asks it. */
export const EDGE_NAME = `edge.${ZONE}`;
/** Names beside the numbered ones. */
export const SPECIAL_HOSTS = [PLAIN_HOST, LIVE_HOST, HTTP2_HOST, OPAQUE_HOST] as const;
/** Never on the allow-list. */
export function deniedHost(index: number): string {
  return `denied-${index}.${ZONE}`;
}

function jsonOfLength(length: number): string {
  const frame = JSON.stringify({ id: "chatcmpl-000", object: "chat.completion", text: "" });
  return frame.replace('"text":""', `"text":"${"x".repeat(length - frame.length)}"`);
}
