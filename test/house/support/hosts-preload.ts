import dns, { type LookupAddress, type LookupOptions } from "node:dns";
import { syncBuiltinESMExports } from "node:module";

/**
 * Loaded ahead of the edge with `--import`: names of POSTERN_TEST_HOSTS (JSON, `{"api.test": ["127.0.0.1"]}`) resolve as
 * written there, as a line of /etc/hosts would, and every other name does not exist. No test ever asks a real resolver.
 */
const hosts = new Map(
  Object.entries(JSON.parse(process.env["POSTERN_TEST_HOSTS"] ?? "{}") as Record<string, string[]>),
);

type Callback = (error: NodeJS.ErrnoException | null, address?: string | LookupAddress[], family?: number) => void;

function lookup(name: string, options: LookupOptions | number | Callback, callback?: Callback): void {
  const done = typeof options === "function" ? options : (callback as Callback);
  const wanted: LookupOptions = typeof options === "object" ? options : {};
  const found = answers(name);
  setImmediate(() => {
    const [first] = found;
    if (first === undefined) done(notFound(name));
    else if (wanted.all === true) done(null, found);
    else done(null, first.address, first.family);
  });
}

async function lookupPromise(name: string, options: LookupOptions = {}): Promise<LookupAddress | LookupAddress[]> {
  const found = answers(name);
  const [first] = found;
  if (first === undefined) throw notFound(name);
  return options.all === true ? found : first;
}

function answers(name: string): LookupAddress[] {
  const literal = name.includes(":") || /^[0-9.]+$/.test(name) ? [name] : [];
  const addresses = hosts.get(name.toLowerCase()) ?? (name === "localhost" ? ["127.0.0.1"] : literal);
  return addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
}

function notFound(name: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), {
    code: "ENOTFOUND",
    syscall: "getaddrinfo",
    hostname: name,
  });
}

Object.assign(dns, { lookup });
Object.assign(dns.promises, { lookup: lookupPromise });
syncBuiltinESMExports();
