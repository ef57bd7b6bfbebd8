import { afterEach, describe, expect, test } from "vitest";
import { collectSegmentsWith, countSegment } from "../../src/core/segment-memory.ts";

afterEach(() => collectSegmentsWith(null));

describe("memory of segments", () => {
  test("the young generation is collected once for every 8 MiB that were read", () => {
    let collections = 0;
    collectSegmentsWith(() => collections++);
    const segment = 16 * 1024;
    for (let bytes = 0; bytes < 80 * 1024 * 1024; bytes += segment) countSegment(segment);
    expect(collections).toBe(10);
  });

  test("nothing happens where there is no collector", () => {
    expect(() => countSegment(64 * 1024 * 1024)).not.toThrow();
  });
});
