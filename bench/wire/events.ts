/** A server-sent event that carries when it was sent, always of the same length, about as long as a token of a chat answer. */

export const EVENT_BYTES = 160;

/** Each stream gets so many. */
export const EVENTS_PER_SECOND = 10;

/** The monotonic clock in milliseconds: the same one in every process of a machine, unlike `performance.now()`. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

const START = 'data: {"sent_ms":"';
const END = '"}\n\n';
const STAMP_LENGTH = EVENT_BYTES - START.length - END.length;

export function eventText(sentMs: number): string {
  return `${START}${sentMs.toFixed(6).padEnd(STAMP_LENGTH, " ")}${END}`;
}

/**
 * @param text one whole event
 * @returns when it was sent
 * @throws Error when it is not what `eventText` writes
 */
export function sentMsOf(text: string): number {
  const stamp = text.slice(START.length, text.length - END.length).trim();
  if (text.length !== EVENT_BYTES || !text.startsWith(START) || !text.endsWith(END) || !/^\d+\.\d{6}$/.test(stamp))
    throw new Error(`not an event of the upstream: ${JSON.stringify(text.slice(0, 60))}`);
  return Number(stamp);
}
