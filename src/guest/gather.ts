import type { Socket } from "node:net";

/** What ended the wait before there was an answer. */
export type Cut = "closed" | "late";

/**
 * Gathers the first bytes of a paused socket until they tell something. The socket is paused again; what was gathered has left
 * it.
 * @param timeoutMs for all of it
 * @param read looks at everything that has come; `null` asks for more; what it throws is the end
 * @param onCut the guest closed, or was too slow; told whether anything has come; answers or throws
 */
export function gather<T>(
  socket: Socket,
  timeoutMs: number,
  read: (bytes: Buffer) => T | null,
  onCut: (cut: Cut, hasBytes: boolean) => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0);
    const settle = (answer: () => T): void => {
      clearTimeout(timer);
      socket.pause();
      socket.off("data", onData);
      socket.off("end", onEnd);
      socket.off("close", onEnd);
      try {
        resolve(answer());
      } catch (thrown) {
        reject(thrown as Error);
      }
    };
    const onData = (segment: Buffer): void => {
      bytes = bytes.length === 0 ? segment : Buffer.concat([bytes, segment]);
      try {
        const answer = read(bytes);
        if (answer !== null) settle(() => answer);
      } catch (thrown) {
        settle(() => {
          throw thrown;
        });
      }
    };
    const onEnd = (): void => settle(() => onCut("closed", bytes.length > 0));
    const timer = setTimeout(() => settle(() => onCut("late", bytes.length > 0)), timeoutMs);
    socket.on("data", onData);
    socket.on("end", onEnd);
    socket.on("close", onEnd);
    socket.resume();
  });
}
