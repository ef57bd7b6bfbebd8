/** Whether a URL's host (WHATWG, so in its one spelling) is this very machine: what is in the clear there crosses no network. */
export function isLoopbackHost(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
