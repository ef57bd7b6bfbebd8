import dns, { type LookupAddress } from "node:dns";
import { syncBuiltinESMExports } from "node:module";
import { ZONE } from "./fixtures.ts";

/**
 * Loaded with `node --import` into the contenders that are libraries for Node: every name of the bench's zone resolves to
 * loopback, so that a thousand hosts exist without touching the machine's resolver. Squid and Postern are told by their config.
 */

const LOOPBACK = "127.0.0.1";

type LookupCallback = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

const systemLookup = dns.lookup as (host: string, options: unknown, done: LookupCallback) => void;
const systemPromise = dns.promises.lookup as (host: string, options?: unknown) => Promise<unknown>;

function lookup(host: string, options: unknown, done?: LookupCallback): void {
  const callback = (typeof options === "function" ? options : done) as LookupCallback;
  const settings = typeof options === "function" ? {} : options;
  if (!host.endsWith(`.${ZONE}`)) systemLookup(host, settings, callback);
  else if (wantsAll(settings)) process.nextTick(callback, null, [{ address: LOOPBACK, family: 4 }]);
  else process.nextTick(callback, null, LOOPBACK, 4);
}

function lookupPromise(host: string, options?: unknown): Promise<unknown> {
  if (!host.endsWith(`.${ZONE}`)) return systemPromise(host, options);
  const address = { address: LOOPBACK, family: 4 };
  return Promise.resolve(wantsAll(options) ? [address] : address);
}

function wantsAll(options: unknown): boolean {
  return typeof options === "object" && options !== null && "all" in options && options.all === true;
}

Object.assign(dns, { lookup });
Object.assign(dns.promises, { lookup: lookupPromise });
syncBuiltinESMExports();
