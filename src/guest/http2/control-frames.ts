import type { ServerHttp2Session } from "node:http2";

/** PING and SETTINGS that may come in a row while nothing else moves; clients that measure the way send one a round trip. */
const FRAMES_IN_A_ROW = 250;
/** A row that took longer than this is a keep-alive. */
const ROW_MS = 10_000;

/**
 * Finds a guest that keeps the edge busy with frames that must be answered and ask for nothing. `node:http2` stops one that
 * does not read the answers; one that does could go on for ever.
 * @param nowMs monotonic clock
 * @param progress any number that changes when streams begin or bytes of them pass
 * @param onFlood told once
 */
export function watchControlFrames(
  session: ServerHttp2Session,
  nowMs: () => number,
  progress: () => number,
  onFlood: () => void,
): void {
  let frames = 0;
  let seen = progress();
  let lookedMs = nowMs();
  const onFrame = (): void => {
    if (++frames < FRAMES_IN_A_ROW) return;
    frames = 0;
    const before = { seen, lookedMs };
    seen = progress();
    lookedMs = nowMs();
    if (seen !== before.seen || lookedMs - before.lookedMs > ROW_MS) return;
    session.off("ping", onFrame);
    session.off("remoteSettings", onFrame);
    onFlood();
  };
  session.on("ping", onFrame);
  session.on("remoteSettings", onFrame);
}
