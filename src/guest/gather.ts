import type { RawStream } from "../core/wire.ts";

/** What ended the wait before there was an answer. */
export type Cut = "closed" | "late";

/** What the first bytes told. */
export interface Found<T> {
  readonly answer: T;
  /** What whoever comes next is to read: it goes back into the stream. */
  readonly rest: Buffer;
}

/**
 * Gathers the first bytes of a paused stream until they tell something. The stream is paused again; what was gathered has left
 * it, but for what is put back: at once, since an end that is behind it would be told in the next tick, and Node puts nothing
 * back into a stream that has told its end.
 * @param timeoutMs for all of it
 * @param read looks at everything that has come; `null` asks for more; what it throws is the end
 * @param onCut the guest closed, or was too slow; told whether anything has come; answers or throws
 */
export function gather<T>(
  stream: RawStream,
  timeoutMs: number,
  read: (bytes: Buffer) => Found<T> | null,
  onCut: (cut: Cut, hasBytes: boolean) => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0);
    const settle = (answer: () => T): void => {
      clearTimeout(timer);
      stream.pause();
      stream.off("data", onData);
      stream.off("end", onEnd);
      stream.off("close", onEnd);
      try {
        resolve(answer());
      } catch (thrown) {
        reject(thrown as Error);
      }
    };
    const onData = (segment: Buffer): void => {
      bytes = bytes.length === 0 ? segment : Buffer.concat([bytes, segment]);
      try {
        const found = read(bytes);
        if (found === null) return;
        settle(() => found.answer);
        if (found.rest.length > 0) stream.unshift(found.rest);
      } catch (thrown) {
        settle(() => {
          throw thrown;
        });
      }
    };
    const onEnd = (): void => settle(() => onCut("closed", bytes.length > 0));
    const timer = setTimeout(() => settle(() => onCut("late", bytes.length > 0)), timeoutMs);
    stream.on("data", onData);
    stream.on("end", onEnd);
    stream.on("close", onEnd);
    // What happened before is told by no event any more.
    if (stream.readableEnded || stream.destroyed) onEnd();
    else stream.resume();
  });
}
