import { CommandFailure, EXIT } from "../command.ts";
import type { ProxyUrl } from "./proxy-url.ts";

/**
 * What a guest's programs read to find the edge and to trust its CA: one table, a row a variable. A variable that replaces
 * a program's roots is given a bundle that holds the system's roots as well; one that adds to them is given the CA alone.
 *
 * Left out on purpose:
 * - `AWS_CA_BUNDLE`: programs on the Go v1 AWS SDK with a wrapped transport (rclone's S3, external-dns) refuse to start with
 *   it, and the AWS tools take `REQUESTS_CA_BUNDLE`.
 * - `NODE_TLS_REJECT_UNAUTHORIZED`, `GIT_SSL_NO_VERIFY` and their like: nothing needs verification to be off.
 * - `grpc_proxy`: gRPC takes `https_proxy`, and with it would tunnel cleartext targets too.
 */
export type ValueKind =
  /** `http://host:port` of the edge, or with the scheme that its listener speaks */
  | "proxy"
  /** names that are never sent to the edge */
  | "no_proxy"
  /** the CA alone, a PEM file */
  | "ca"
  /** the system's roots and the CA, a PEM file */
  | "bundle"
  /** system properties for every JVM */
  | "java"
  | { readonly fixed: string };

export interface GuestVariable {
  readonly name: string;
  readonly value: ValueKind;
  /** Whether the file adds to the program's roots or takes their place; `null` for what is not about trust. */
  readonly roots: "adds" | "replaces" | null;
  readonly neededBy: string;
}

/** Over HTTP/2 libcurl 7.84 to 8.1 may ask for more of a body that has ended; git then waits for itself, whatever the server does. */
const GIT_OVER_HTTP1 = "git, whose large pushes over HTTP/2 hang now and then with the libcurl of Debian 12";

export const GUEST_VARIABLES: readonly GuestVariable[] = [
  proxy("HTTP_PROXY", "Go, Node, Python and .NET for http://"),
  proxy("http_proxy", "curl and wget for http:// (lower case only), Ruby for https:// too"),
  proxy("HTTPS_PROXY", "nearly every client"),
  proxy("https_proxy", "wget, aria2, apt and gRPC, which read the lower case only"),
  proxy("ALL_PROXY", "fallback of curl, httpx, requests, axios, Deno, Bun"),
  proxy("all_proxy", "aria2"),
  { name: "NO_PROXY", value: "no_proxy", roots: null, neededBy: "every client that calls its own machine" },
  { name: "no_proxy", value: "no_proxy", roots: null, neededBy: "wget, curl, Ruby" },
  proxy("WS_PROXY", "aiohttp's WebSocket client"),
  proxy("ws_proxy", "curl's WebSocket"),
  proxy("WSS_PROXY", "aiohttp's WebSocket client over TLS"),
  proxy("wss_proxy", "curl's WebSocket over TLS"),
  proxy("CGI_HTTP_PROXY", "PHP, Composer and Perl under a CGI-like interface, which ignore HTTP_PROXY there"),
  proxy("npm_config_proxy", "npm and pnpm where a .npmrc says otherwise"),
  proxy("npm_config_https_proxy", "npm and pnpm where a .npmrc says otherwise"),
  proxy("YARN_HTTP_PROXY", "Yarn 2 and later, which ignore HTTP_PROXY"),
  proxy("YARN_HTTPS_PROXY", "Yarn 2 and later, which ignore HTTPS_PROXY"),
  fixed("NODE_USE_ENV_PROXY", "1", "Node's own fetch and http(s), which go direct without it"),
  fixed("AWS_EC2_METADATA_DISABLED", "true", "AWS tools, which otherwise wait for the metadata address"),
  fixed("GIT_CONFIG_COUNT", "1", GIT_OVER_HTTP1),
  fixed("GIT_CONFIG_KEY_0", "http.version", GIT_OVER_HTTP1),
  fixed("GIT_CONFIG_VALUE_0", "HTTP/1.1", GIT_OVER_HTTP1),

  adds("NODE_EXTRA_CA_CERTS", "Node, npm, pnpm, Yarn, Bun, Electron"),
  adds("DENO_CERT", "Deno, which does not read the system store"),
  replaces("SSL_CERT_FILE", "OpenSSL, Go, Ruby, Rust, httpx, urllib, aiohttp, uv"),
  replaces("REQUESTS_CA_BUNDLE", "Python requests, httpie, twine, poetry, AWS tools"),
  replaces("CURL_CA_BUNDLE", "curl"),
  replaces("GIT_SSL_CAINFO", "git and git-lfs"),
  replaces("PIP_CERT", "pip"),
  replaces("CARGO_HTTP_CAINFO", "cargo"),
  replaces("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "gRPC in C++, Python, Ruby, PHP and Node, which reads nothing else"),
  replaces("npm_config_cafile", "npm and pnpm where a .npmrc names another file"),
  replaces("YARN_HTTPS_CA_FILE_PATH", "Yarn 2 and later"),
  replaces("HTTPLIB2_CA_CERTS", "httplib2 and the Google API clients on it"),
  replaces("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "gcloud"),
  replaces("COMPOSER_CAFILE", "Composer"),
  replaces("BUNDLE_SSL_CA_CERT", "Bundler"),
  replaces("PERL_LWP_SSL_CA_FILE", "Perl's LWP"),
];

/** The JVM reads no proxy variable and no PEM file. On request only: every JVM then says on stderr that it picked this up. */
export const JAVA_VARIABLE: GuestVariable = {
  name: "JAVA_TOOL_OPTIONS",
  value: "java",
  roots: "replaces",
  neededBy: "Java: HttpClient, URLConnection, OkHttp, Gradle and Maven",
};

/** Where the guest finds things; paths as the guest sees them. */
export interface GuestView {
  readonly proxy: ProxyUrl;
  readonly noProxy: readonly string[];
  readonly caFile: string;
  readonly bundleFile: string;
  /** PKCS#12 trust store, or `null` when Java is not asked for. */
  readonly trustStore: { readonly file: string; readonly password: string } | null;
}

/** @returns name and value of every variable, in the table's order */
export function guestVariables(view: GuestView): [GuestVariable, string][] {
  const rows = view.trustStore === null ? GUEST_VARIABLES : [...GUEST_VARIABLES, JAVA_VARIABLE];
  return rows.map((row) => [row, valueOf(row.value, view)]);
}

function valueOf(kind: ValueKind, view: GuestView): string {
  switch (kind) {
    case "proxy":
      return view.proxy.text;
    case "no_proxy":
      return view.noProxy.join(",");
    case "ca":
      return view.caFile;
    case "bundle":
      return view.bundleFile;
    case "java":
      return javaOptions(view);
    default:
      return kind.fixed;
  }
}

/** @throws CommandFailure where the JVM could not speak to the listener */
function javaOptions({ proxy, noProxy, trustStore }: GuestView): string {
  if (proxy.scheme !== "http")
    throw new CommandFailure(
      `Java takes no proxy at ${proxy.scheme}://: give such guests a listener that speaks HTTP without TLS, or leave --java out`,
      EXIT.usage,
    );
  const properties: [string, string][] = [
    ["http.proxyHost", proxy.host],
    ["http.proxyPort", String(proxy.port)],
    ["https.proxyHost", proxy.host],
    ["https.proxyPort", String(proxy.port)],
    ["http.nonProxyHosts", noProxy.map(javaHostPattern).join("|")],
  ];
  if (trustStore !== null) {
    properties.push(
      ["javax.net.ssl.trustStore", trustStore.file],
      ["javax.net.ssl.trustStorePassword", trustStore.password],
      ["javax.net.ssl.trustStoreType", "PKCS12"],
    );
  }
  return properties.map(([name, value]) => javaWord(`-D${name}=${value}`)).join(" ");
}

/** The JVM splits at blanks and knows quotes but no escapes. @throws CommandFailure for a value that holds both kinds */
function javaWord(word: string): string {
  if (!/[\s"']/.test(word)) return word;
  if (!word.includes('"')) return `"${word}"`;
  if (!word.includes("'")) return `'${word}'`;
  throw new CommandFailure(
    "a Java option cannot hold both kinds of quotes: choose another directory for the files",
    EXIT.usage,
  );
}

/** `::1` -> `[::1]`, `.example.com` -> `*.example.com`: the notation of java.net. */
function javaHostPattern(entry: string): string {
  if (entry.includes(":")) return `[${entry}]`;
  return entry.startsWith(".") ? `*${entry}` : entry;
}

function proxy(name: string, neededBy: string): GuestVariable {
  return { name, value: "proxy", roots: null, neededBy };
}

function fixed(name: string, value: string, neededBy: string): GuestVariable {
  return { name, value: { fixed: value }, roots: null, neededBy };
}

function adds(name: string, neededBy: string): GuestVariable {
  return { name, value: "ca", roots: "adds", neededBy };
}

function replaces(name: string, neededBy: string): GuestVariable {
  return { name, value: "bundle", roots: "replaces", neededBy };
}
