import { floodFigures } from "./surveys/floods.ts";

/** What Postern is held to, as data: the report adds what was measured and a verdict. Ratios are those of one run. */
export type Target = RatioTarget | ValueTarget;

interface Bound {
  readonly title: string;
  readonly sense: "at most" | "at least";
  readonly limit: number;
}

/** Postern's `figure` divided by that of another contender (or by another figure of its own). */
export interface RatioTarget extends Bound {
  readonly kind: "ratio";
  readonly figure: string;
  readonly to: { readonly contender: string; readonly figure: string };
}

/** Postern's `figure` itself. */
export interface ValueTarget extends Bound {
  readonly kind: "value";
  readonly figure: string;
  readonly unit: string;
  /** Decimals in the report. */
  readonly digits: number;
}

export const targets: readonly Target[] = [
  against("squid", "keepalive-16.cpu", "at most", 0.5, "keep-alive, 16 connections: CPU"),
  against("mockttp", "keepalive-16.cpu", "at most", 1 / 8, "keep-alive, 16 connections: CPU"),
  against("http-mitm-proxy", "keepalive-16.cpu", "at most", 1 / 5, "keep-alive, 16 connections: CPU"),
  against("haproxy", "keepalive-16.cpu", "at most", 1.6, "keep-alive, 16 connections: CPU"),
  against("squid", "tunnels.cpu", "at most", 0.75, "new tunnels: CPU"),
  against("squid", "first-hit.p50", "at most", 0.4, "first hit of a new name: p50"),
  against("squid", "download.cpu", "at most", 0.6, "100 MB download: CPU"),
  against("squid", "plain.cpu", "at most", 0.6, "plain HTTP: CPU"),
  against("squid", "denied.rate", "at least", 10, "denied CONNECTs: rate"),
  against("squid", "latency.added-p50", "at most", 1, "added p50 at a fixed rate"),
  against("bare-relay", "pass-through.rate", "at least", 0.9, "pass-through: MB/s"),
  value("sse.added-p99", 1, "server-sent events, 100 streams: added p99", "ms", 3),
  value("memory.idle", 80, "RSS idle", "MB"),
  value("memory.tunnels", 75, "RSS more per 1,000 idle tunnels", "MB"),
  value("memory.requests", 130, "RSS after 100,000 requests", "MB"),
  // "Flat" with room for what a garbage collector has not got to yet.
  value("memory.growth", 8, "RSS more after 100,000 further requests", "MB"),
  own(
    "allow-list.100000.requests",
    "allow-list.10.requests",
    "at most",
    1.05,
    "100,000 destinations against 10: CPU of requests",
  ),
  own(
    "allow-list.100000.denials",
    "allow-list.10.denials",
    "at most",
    1.05,
    "100,000 destinations against 10: CPU of denials",
  ),
  own("renewals.5.rate", "renewals.900.rate", "at least", 0.95, "leases of 5 s against 15 min: requests/s"),
  own("renewals.5.cpu", "renewals.900.cpu", "at most", 1 / 0.95, "leases of 5 s against 15 min: CPU of requests"),
  value("leases-memory.custody.growth", 4, "ledger filled again after expiry: heap more", "MB", 1),
  value("leases-memory.custody.growth-resident", 8, "ledger filled again after expiry: RSS more", "MB", 1),
  value("leases-memory.edge.growth", 4, "keeper filled again after expiry: heap more", "MB", 1),
  value("leases-memory.edge.growth-resident", 8, "keeper filled again after expiry: RSS more", "MB", 1),
  ...floodFigures.map(({ title, war, peace }) =>
    own(war, peace, "at most", 2, `${title}: p99 of another guest, against peace`),
  ),
  // With --baseline: what a change may cost what was there before it.
  against("baseline", "keepalive-1.cpu", "at most", 1.03, "keep-alive, 1 connection: CPU"),
  against("baseline", "keepalive-16.cpu", "at most", 1.03, "keep-alive, 16 connections: CPU"),
  against("baseline", "keepalive-64.cpu", "at most", 1.03, "keep-alive, 64 connections: CPU"),
  against("baseline", "plain.cpu", "at most", 1.03, "plain HTTP: CPU"),
  against("baseline", "tunnels.cpu", "at most", 1.03, "new tunnels: CPU"),
  against("baseline", "download.cpu", "at most", 1.03, "100 MB download: CPU"),
  against("baseline", "upload.cpu", "at most", 1.03, "100 MB upload: CPU"),
  against("baseline", "denied.cpu", "at most", 1.03, "denied CONNECTs: CPU"),
];

function against(contender: string, figure: string, sense: Bound["sense"], limit: number, title: string): Target {
  return { kind: "ratio", figure, to: { contender, figure }, sense, limit, title: `${title}, against ${contender}` };
}

function own(figure: string, base: string, sense: Bound["sense"], limit: number, title: string): Target {
  return { kind: "ratio", figure, to: { contender: "postern", figure: base }, sense, limit, title };
}

function value(figure: string, limit: number, title: string, unit: string, digits = 0): Target {
  return { kind: "value", figure, sense: "at most", limit, title, unit, digits };
}
