import type { ExchangeRecord } from "./record.ts";

/**
 * The account of an exchange as JSON members, in a fixed order, hand-built because it is made once for every exchange. It is
 * the one allow-list of what audit and log say: what is not named here is in neither. Empty values are left out. The text is
 * pure ASCII, so that characters are bytes and no terminal or parser reads a guest's bytes as its own.
 */

/** Longest string that is written, in characters before escaping. A longer one is cut and `<name>_cut` tells its length. */
export const MAX_TEXT = 2048;

/**
 * @param sessionMark keyed digest that stands for the session id
 * @returns `"time":"...","id":"...",...`: members without braces
 */
export function recordMembers(record: ExchangeRecord, sessionMark: string): string {
  const decision = record.denial !== null ? "deny" : record.wouldDeny !== null ? "report" : "allow";
  let out = opening(record, sessionMark);
  out += `,"decision":"${decision}","outcome":"${record.outcome}","duration_us":${micros(record.endedMs - record.startedMs)}`;
  if (record.status !== 0) out += `,"status":${whole(record.status)}`;
  if (record.denial !== null) out += `,"denial":"${record.denial}"`;
  if (record.wouldDeny !== null) out += `,"would_deny":"${record.wouldDeny}"`;
  if (record.detail !== null) out += text("detail", record.detail);
  if (record.upstream !== "") out += text("upstream", record.upstream);
  if (record.via !== "") out += text("via", record.via);
  if (record.firstByteMs !== 0) out += `,"first_byte_us":${micros(record.firstByteMs - record.startedMs)}`;
  if (record.bytesFromGuest !== 0) out += `,"bytes_from_guest":${whole(record.bytesFromGuest)}`;
  if (record.bytesToGuest !== 0) out += `,"bytes_to_guest":${whole(record.bytesToGuest)}`;
  if (record.injected) out += ',"injected":true';
  if (record.masked !== 0) out += `,"masked":${whole(record.masked)}`;
  if (record.retried) out += ',"retried":true';
  return out;
}

/** What is known before the first upstream byte: the members of a strict audit's intent. */
export function intentMembers(record: ExchangeRecord, sessionMark: string): string {
  const out = opening(record, sessionMark);
  return record.via === "" ? out : out + text("via", record.via);
}

function opening(record: ExchangeRecord, sessionMark: string): string {
  let out = `"time":"${isoTime(record.startedWallMs)}","id":${quoted(record.id)},"kind":"${record.kind}"`;
  out += text("guest", record.guest);
  if (record.method !== "") out += text("method", record.method);
  if (record.path !== "") out += text("path", record.path);
  return out + whereTo(record, sessionMark);
}

/** Members that are the same for every exchange of a session with a destination, and what they were made of. */
interface WhereTo {
  readonly listener: string;
  readonly tenant: string;
  readonly sessionMark: string;
  readonly scheme: string;
  readonly authority: string;
  readonly destination: string;
  readonly rule: string;
  readonly lease: string;
  readonly resourceRef: string;
  readonly members: string;
}

const KEPT = 1000;
const kept = new Map<string, WhereTo>();

/** Rendering these nine anew for every exchange would cost as much as all the rest; comparing them costs next to nothing. */
function whereTo(record: ExchangeRecord, sessionMark: string): string {
  // What no destination was found for is a guest's to choose: it would be kept to no use.
  if (record.destination === "") return whereToMembers(record, sessionMark);
  // A lease belongs to one session and one destination. Neither key is for a guest to choose.
  const key = record.lease === "" ? record.destination : record.lease;
  const found = kept.get(key);
  if (
    found !== undefined &&
    found.lease === record.lease &&
    found.destination === record.destination &&
    found.authority === record.authority &&
    found.rule === record.rule &&
    found.sessionMark === sessionMark &&
    found.tenant === record.tenant &&
    found.listener === record.listener &&
    found.scheme === record.scheme &&
    found.resourceRef === record.resourceRef
  )
    return found.members;
  if (kept.size >= KEPT) kept.clear();
  const { listener, tenant, scheme, authority, destination, rule, lease, resourceRef } = record;
  const made = whereToMembers(record, sessionMark);
  // Flat in memory: a string that was pieced together would be walked through piece by piece each time it is copied.
  const members = Buffer.from(made, "latin1").toString("latin1");
  kept.set(key, { listener, tenant, sessionMark, scheme, authority, destination, rule, lease, resourceRef, members });
  return members;
}

function whereToMembers(record: ExchangeRecord, sessionMark: string): string {
  let out = text("listener", record.listener);
  if (record.tenant !== "") out += text("tenant", record.tenant);
  if (sessionMark !== "") out += `,"session":"${sessionMark}"`;
  if (record.scheme !== "") out += text("scheme", record.scheme);
  if (record.authority !== "") out += text("authority", record.authority);
  if (record.destination !== "") out += text("destination", record.destination);
  if (record.rule !== "") out += text("rule", record.rule);
  if (record.lease !== "") out += text("lease", record.lease);
  if (record.resourceRef !== "") out += text("resource_ref", record.resourceRef);
  return out;
}

function text(name: string, value: string): string {
  const head = `,"${name}":`;
  if (value.length <= MAX_TEXT) return head + quoted(value);
  return `${head}${quoted(value.slice(0, MAX_TEXT))},"${name}_cut":${value.length}`;
}

/** `value` as a JSON string of printable ASCII. */
export function quoted(value: string): string {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return `"${escaped(value, i)}"`;
  }
  return `"${value}"`;
}

/** RFC 8259 §7; everything beyond printable ASCII as \uXXXX. Each character is looked at once. */
function escaped(value: string, from: number): string {
  let out = value.slice(0, from);
  let kept = from;
  for (let i = from; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code >= 0x20 && code <= 0x7e && code !== 0x22 && code !== 0x5c) continue;
    out += value.slice(kept, i);
    out += code === 0x22 ? '\\"' : code === 0x5c ? "\\\\" : `\\u${code.toString(16).padStart(4, "0")}`;
    kept = i + 1;
  }
  return out + value.slice(kept);
}

/** Milliseconds as whole microseconds; what is not a duration is 0, since NaN is no JSON. */
function micros(ms: number): number {
  return whole(Math.round(ms * 1000));
}

function whole(value: number): number {
  return value > 0 && value <= Number.MAX_SAFE_INTEGER ? Math.trunc(value) : 0;
}

let isoSecond = Number.NaN;
let isoPrefix = "";

/** Wall clock ms -> `2026-11-22T04:02:50.123Z`. The second is rendered once: records come thousands a second. */
export function isoTime(wallMs: number): string {
  const second = Math.floor(wallMs / 1000);
  if (second !== isoSecond) {
    isoPrefix = new Date(second * 1000).toISOString().slice(0, 20);
    isoSecond = second;
  }
  const rest = Math.floor(wallMs - second * 1000);
  return `${isoPrefix}${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}Z`;
}
