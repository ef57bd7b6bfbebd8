import { CommandFailure, EXIT } from "../command.ts";

/** Where guests find the edge. */
export interface ProxyUrl {
  /** `http://host:port`, with user and password when they were given. */
  readonly text: string;
  /** IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly hasUser: boolean;
}

/**
 * Clients differ in what they take for a proxy: with a scheme and without a path every one of them agrees.
 * @throws CommandFailure that says what to write
 */
export function parseProxyUrl(text: string): ProxyUrl {
  const example = "write it as http://HOST:PORT, such as http://127.0.0.1:3128";
  if (/[\s\p{Cc}]/u.test(text)) throw new CommandFailure(`the proxy URL holds a blank: ${example}`, EXIT.usage);
  if (!/^http:\/\//i.test(text)) {
    const why = /^https:/i.test(text) ? "speaks plain HTTP to guests" : "needs its scheme";
    throw new CommandFailure(`the proxy URL "${text}" ${why}: ${example}`, EXIT.usage);
  }
  if (!URL.canParse(text)) throw new CommandFailure(`the proxy URL "${text}" cannot be read: ${example}`, EXIT.usage);
  const url = new URL(text);
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    throw new CommandFailure(`the proxy URL "${text}" has a path: ${example}`, EXIT.usage);
  const port = url.port === "" ? 80 : Number(url.port);
  const password = url.password === "" ? "" : `:${url.password}`;
  const user = url.username === "" && password === "" ? "" : `${url.username}${password}@`;
  return {
    text: `http://${user}${url.hostname}:${port}`,
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port,
    hasUser: user !== "",
  };
}
