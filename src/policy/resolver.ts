import { lookup as systemLookup } from "node:dns/promises";

/**
 * Names to addresses. `signal` ends the wait; a lookup that ignores it is waited for no longer either.
 * @returns every answer as IP text, in the resolver's order
 */
export type Lookup = (host: string, signal: AbortSignal) => Promise<readonly string[]>;

/**
 * The system's own resolver (`getaddrinfo`): what the operator sees with `getent` is what the edge sees, /etc/hosts included.
 * It cannot be interrupted: an abandoned lookup keeps a thread until the system gives up, so callers bound how many there are.
 */
export const lookupBySystem: Lookup = async (host, signal) => {
  signal.throwIfAborted();
  const answers = await systemLookup(host, { all: true, order: "verbatim" });
  return answers.map(({ address }) => address);
};
