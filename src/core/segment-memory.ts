/**
 * The memory of segments that sockets hand out. To V8 a segment is a small object that holds a large piece of other memory: a
 * download leaves tens of megabytes of dead segments before the young generation is full of their small halves, and V8 then
 * marks the whole heap to be rid of them. That was more than half of the CPU of a download. Whoever reads segments counts
 * them, and after so many bytes the young generation alone is collected, which takes half a millisecond.
 */
const COLLECT_EVERY_BYTES = 8 * 1024 * 1024;

let bytesSince = 0;
let collectYoung: (() => void) | null = null;

/** @param collect collects the young generation now; without one nothing but V8's own collections happens */
export function collectSegmentsWith(collect: (() => void) | null): void {
  collectYoung = collect;
}

/** @param bytes length of a segment that was read */
export function countSegment(bytes: number): void {
  bytesSince += bytes;
  if (bytesSince < COLLECT_EVERY_BYTES) return;
  bytesSince = 0;
  collectYoung?.();
}
