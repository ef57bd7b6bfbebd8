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
  value("memory.idle", 80, "RSS idle", "MB"),
  value("memory.tunnels", 75, "RSS more per 1,000 idle tunnels", "MB"),
  value("memory.requests", 130, "RSS after 100,000 requests", "MB"),
  // "Flat" with room for what a garbage collector has not got to yet.
  value("memory.growth", 8, "RSS more after 100,000 further requests", "MB"),
  ownGrowth(
    "allow-list.100000.requests",
    "allow-list.10.requests",
    1.05,
    "100,000 destinations against 10: CPU of requests",
  ),
  ownGrowth(
    "allow-list.100000.denials",
    "allow-list.10.denials",
    1.05,
    "100,000 destinations against 10: CPU of denials",
  ),
];

function against(contender: string, figure: string, sense: Bound["sense"], limit: number, title: string): Target {
  return { kind: "ratio", figure, to: { contender, figure }, sense, limit, title: `${title}, against ${contender}` };
}

function ownGrowth(figure: string, base: string, limit: number, title: string): Target {
  return { kind: "ratio", figure, to: { contender: "postern", figure: base }, sense: "at most", limit, title };
}

function value(figure: string, limit: number, title: string, unit: string): Target {
  return { kind: "value", figure, sense: "at most", limit, title, unit };
}
