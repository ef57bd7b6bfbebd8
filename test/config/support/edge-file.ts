import { parseConfig } from "../../../src/config/load.ts";
import { problemLine } from "../../../src/config/problem.ts";

/** The smallest edge config, with whatever a test adds. Sections are YAML; a `null` leaves one out. */
export interface EdgeFile {
  readonly listeners?: string | null;
  readonly ca?: string | null;
  readonly audit?: string | null;
  readonly custody?: string | null;
  readonly destinations?: string | null;
  /** Appended as it is. */
  readonly more?: string;
}

const SECTIONS = {
  listeners: "listeners:\n  - { name: guests, address: 127.0.0.1:3128, session: { mode: open } }",
  ca: "ca: { certificate: ca.crt, key: ca.key }",
  audit: "audit: { file: audit.jsonl }",
  custody: `custody:
  main:
    embedded:
      credentials:
        - { name: key, kind: token, source: { env: KEY }, hosts: ["api.example.com:443"] }
        - { name: robot, kind: userpass, username: bot, source: { env: KEY }, hosts: ["api.example.com:443"] }
        - { name: value, kind: header, source: { env: KEY }, hosts: ["api.example.com:443"] }`,
  destinations: "destinations: []",
};

export function edgeFile(file: EdgeFile = {}): string {
  const sections = { ...SECTIONS, ...file };
  return [sections.listeners, sections.ca, sections.audit, sections.custody, sections.destinations, file.more]
    .filter((section) => section !== null && section !== undefined)
    .map((section) => `${section}\n`)
    .join("");
}

/** One destination entry for `api.example.com` with `more` inside. */
export function destination(more: string): string {
  return `destinations:\n  - { name: api, host: api.example.com, ${more} }`;
}

/** `allow` of everything. */
export const ALL = 'allow: [{ methods: ["*"], paths: ["/**"] }]';

/** The problems of a text as lines without the file's name, or `[]`. */
export function problemsOf(text: string): string[] {
  const loaded = parseConfig(text, "edge.yaml", "/etc/postern");
  return loaded.ok ? [] : loaded.problems.map((problem) => problemLine(problem).replace(/^edge\.yaml:?/, ""));
}

/** The same without line and column. */
export function messagesOf(text: string): string[] {
  return problemsOf(text).map((line) => line.replace(/^\d+:\d+: /, ""));
}
