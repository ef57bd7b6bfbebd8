/**
 * Audit as the example configs have it. A lease is answered once its record has been forced to the disk, whatever `fsync` says:
 * that is about what nobody waits for.
 */
export const EDGE_AUDIT = { mode: "durable_first", fsync: "interval", fsyncIntervalMs: 1000 } as const;
export const CUSTODY_AUDIT = { mode: "strict", fsync: "always" } as const;
export const ROTATE_BYTES = 268_435_456;
