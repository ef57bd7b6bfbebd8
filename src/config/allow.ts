import type { AllowRule } from "../core/destination.ts";
import type { RawAllow } from "./destination-schema.ts";
import { fieldNameFault } from "./field-name.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";

/** One `allow:` entry of a destination, checked. */
export function allowRule(raw: RawAllow, path: Path, report: Report): AllowRule {
  return Object.freeze({
    methods: methodsOf(raw.methods, path, report),
    paths: pathsOf(raw.paths, path, report),
    query: raw.query === undefined ? null : frozenPatterns(raw.query, (key) => key),
    headers: raw.headers === undefined ? null : headersOf(raw.headers, path, report),
  });
}

const METHOD = /^[A-Z][A-Z0-9_-]*$/;

function methodsOf(methods: readonly string[], path: Path, report: Report): readonly string[] | null {
  if (methods.length === 1 && methods[0] === "*") return null;
  for (const [i, method] of methods.entries()) {
    const fault = methodFault(method, methods.indexOf(method) < i);
    if (fault !== null) report.add([...path, "methods", i], `${quoted(method)}: ${fault}`);
  }
  return Object.freeze(methods);
}

function methodFault(method: string, again: boolean): string | null {
  if (method === "*") return 'stands alone: write ["*"]';
  const upper = method.toUpperCase();
  // TRACE and TRACK echo the request with the credential in it; CONNECT in a tunnel would open another one.
  if (upper === "TRACE" || upper === "TRACK" || upper === "CONNECT") return "never forwarded: leave it out";
  if (!METHOD.test(upper)) return 'not a method: write one such as "GET"';
  if (upper !== method) return `write ${quoted(upper)}`;
  return again ? "written twice: keep one" : null;
}

function pathsOf(paths: readonly string[], path: Path, report: Report): readonly string[] {
  for (const [i, pattern] of paths.entries()) {
    const fault = pathFault(pattern);
    if (fault !== null) report.add([...path, "paths", i], `${quoted(pattern)}: ${fault}`);
  }
  return Object.freeze(paths);
}

/** Paths are compared in one form (RFC 3986 §6.2.2): a pattern in another form would never match, or match by surprise. */
const PLAIN_PATH = /^(?:\/(?:[A-Za-z0-9_~*-][A-Za-z0-9._~*-]*)?)+$/;

function pathFault(pattern: string): string | null {
  if (!pattern.startsWith("/")) return `write ${quoted(`/${pattern}`)}`;
  const plain = PLAIN_PATH.test(pattern);
  if (pattern.includes("//")) return `write ${quoted(pattern.replaceAll(/\/{2,}/g, "/"))}`;
  if (/[^/]\*\*|\*\*[^/]/.test(pattern)) return "`**` stands for whole segments: write it between slashes";
  if (plain) return null;
  if (/[?#]/.test(pattern)) return "a path ends before ? and #: write the query under `query:`";
  if (/[\\;]/.test(pattern)) return "a path with \\ or ; can be read in more than one way: write it without";
  if (pattern.split("/").some((segment) => /^\.+$/.test(segment))) return "write the path without dot segments";
  if (/[^!-~]/.test(pattern)) return `write ${quoted(percentEncoded(pattern))}`;
  return escapeFault(pattern);
}

function escapeFault(pattern: string): string | null {
  const decided = pattern.replaceAll(/%([0-9A-Fa-f]{2})/g, (escape, hex: string) => {
    const char = String.fromCharCode(Number.parseInt(hex, 16));
    return /[A-Za-z0-9._~-]/.test(char) ? char : escape.toUpperCase();
  });
  if (/%(?![0-9A-Fa-f]{2})/.test(pattern)) return "write % as %25";
  return decided === pattern ? null : `write ${quoted(decided)}`;
}

function percentEncoded(pattern: string): string {
  return pattern.replaceAll(/[^!-~]+/g, (run) => encodeURIComponent(run.toWellFormed()));
}

function headersOf(
  headers: Readonly<Record<string, readonly string[]>>,
  path: Path,
  report: Report,
): Readonly<Record<string, readonly string[]>> {
  const seen = new Set<string>();
  for (const name of Object.keys(headers)) {
    const lower = name.toLowerCase();
    const fault = fieldNameFault(name) ?? (seen.has(lower) ? `${quoted(name)}: written twice: keep one` : null);
    if (fault !== null) report.add([...path, "headers", name], fault, true);
    seen.add(lower);
  }
  return frozenPatterns(headers, (name) => name.toLowerCase());
}

function frozenPatterns(
  patterns: Readonly<Record<string, readonly string[]>>,
  keyOf: (key: string) => string,
): Readonly<Record<string, readonly string[]>> {
  const pairs = Object.entries(patterns).map(([key, values]) => [keyOf(key), Object.freeze(values)] as const);
  return Object.freeze(Object.fromEntries(pairs));
}
