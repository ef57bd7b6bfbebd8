import { CommandFailure, EXIT } from "../command.ts";

/** Where guests find the edge. */
export interface ProxyUrl {
  /** What the listener speaks: `https` is HTTP over TLS; with `socks5h` names go to the edge unresolved, as policy needs them. */
  readonly scheme: ProxyScheme;
  /** `scheme://host:port`, with user and password when they were given. */
  readonly text: string;
  /** IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly hasUser: boolean;
}

export type ProxyScheme = "http" | "https" | "socks5h";

const DEFAULT_PORTS: Readonly<Record<ProxyScheme, number>> = { http: 80, https: 443, socks5h: 1080 };

/**
 * Clients differ in what they take for a proxy: with a scheme and without a path every one of them agrees.
 * @throws CommandFailure that says what to write
 */
export function parseProxyUrl(text: string): ProxyUrl {
  const example =
    "write it as http://HOST:PORT, such as http://127.0.0.1:3128, or with https:// or socks5h:// as the listener has it";
  if (/[\s\p{Cc}]/u.test(text)) throw new CommandFailure(`the proxy URL holds a blank: ${example}`, EXIT.usage);
  const scheme = schemeOf(text, example);
  if (!URL.canParse(text)) throw new CommandFailure(`the proxy URL "${text}" cannot be read: ${example}`, EXIT.usage);
  const url = new URL(text);
  if ((url.pathname !== "/" && url.pathname !== "") || url.search !== "" || url.hash !== "")
    throw new CommandFailure(`the proxy URL "${text}" has a path: ${example}`, EXIT.usage);
  if (url.hostname === "") throw new CommandFailure(`the proxy URL "${text}" cannot be read: ${example}`, EXIT.usage);
  const port = url.port === "" ? DEFAULT_PORTS[scheme] : Number(url.port);
  const password = url.password === "" ? "" : `:${url.password}`;
  const user = url.username === "" && password === "" ? "" : `${url.username}${password}@`;
  // Of a scheme that browsers do not know the letters are left as they are.
  const host = url.hostname.toLowerCase();
  return {
    scheme,
    text: `${scheme}://${user}${host}:${port}`,
    host: host.replace(/^\[(.*)\]$/, "$1"),
    port,
    hasUser: user !== "",
  };
}

function schemeOf(text: string, example: string): ProxyScheme {
  const written = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (written === "http" || written === "https" || written === "socks5h") return written;
  const why = written?.startsWith("socks") === true ? "has guests resolve names themselves" : "needs its scheme";
  throw new CommandFailure(`the proxy URL "${text}" ${why}: ${example}`, EXIT.usage);
}
