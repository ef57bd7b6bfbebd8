/** Filled in when the admin listener lands. */
export function openAdmin(
  ..._: unknown[]
): Promise<{ host: string; port: number; address: string; close(): Promise<void> } | null> {
  return Promise.resolve(null);
}
