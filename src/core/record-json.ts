import { JsonBytes } from "./json-bytes.ts";
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
 * @returns `"time":"...","id":"...",...`: members without braces; the next call writes over them
 */
export function recordMembers(record: ExchangeRecord, sessionMark: string): JsonBytes {
  const decision = record.denial !== null ? "deny" : record.wouldDeny !== null ? "report" : "allow";
  opening(record, sessionMark);
  name(',"decision":"', decision);
  name(',"outcome":"', record.outcome);
  out.raw(',"duration_us":');
  out.whole(micros(record.endedMs - record.startedMs));
  number(',"status":', record.status);
  if (record.denial !== null) name(',"denial":"', record.denial);
  if (record.wouldDeny !== null) name(',"would_deny":"', record.wouldDeny);
  if (record.detail !== null) text("detail", record.detail);
  if (record.upstream !== "") text("upstream", record.upstream);
  if (record.via !== "") text("via", record.via);
  if (record.firstByteMs !== 0) {
    out.raw(',"first_byte_us":');
    out.whole(micros(record.firstByteMs - record.startedMs));
  }
  number(',"bytes_from_guest":', record.bytesFromGuest);
  number(',"bytes_to_guest":', record.bytesToGuest);
  if (record.injected) out.raw(',"injected":true');
  number(',"masked":', record.masked);
  if (record.retried) out.raw(',"retried":true');
  return out;
}

/** What is known before the first upstream byte: the members of a strict audit's intent. */
export function intentMembers(record: ExchangeRecord, sessionMark: string): string {
  opening(record, sessionMark);
  if (record.via !== "") text("via", record.via);
  return out.toString();
}

const out = new JsonBytes();

function opening(record: ExchangeRecord, sessionMark: string): void {
  out.cut(0);
  out.raw('"time":"');
  out.raw(isoTime(record.startedWallMs));
  out.raw('","id":');
  out.quoted(record.id);
  name(',"kind":"', record.kind);
  text("guest", record.guest);
  if (record.method !== "") text("method", record.method);
  if (record.path !== "") text("path", record.path);
  whereTo(record, sessionMark);
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
  readonly bytes: Buffer;
}

const KEPT = 1000;
const kept = new Map<string, WhereTo>();

/** Rendering these nine anew for every exchange would cost as much as all the rest; comparing them costs next to nothing. */
function whereTo(record: ExchangeRecord, sessionMark: string): void {
  // What no destination was found for is a guest's to choose: it would be kept to no use.
  if (record.destination === "") {
    whereToMembers(record, sessionMark);
    return;
  }
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
  ) {
    out.put(found.bytes);
    return;
  }
  if (kept.size >= KEPT) kept.clear();
  const { listener, tenant, scheme, authority, destination, rule, lease, resourceRef } = record;
  const start = out.length;
  whereToMembers(record, sessionMark);
  // Memory of its own: a piece of Node's pool would keep all of the pool, for each of a thousand.
  const bytes = Buffer.allocUnsafeSlow(out.length - start);
  out.bytes.copy(bytes, 0, start);
  kept.set(key, { listener, tenant, sessionMark, scheme, authority, destination, rule, lease, resourceRef, bytes });
}

function whereToMembers(record: ExchangeRecord, sessionMark: string): void {
  text("listener", record.listener);
  if (record.tenant !== "") text("tenant", record.tenant);
  if (sessionMark !== "") name(',"session":"', sessionMark);
  if (record.scheme !== "") text("scheme", record.scheme);
  if (record.authority !== "") text("authority", record.authority);
  if (record.destination !== "") text("destination", record.destination);
  if (record.rule !== "") text("rule", record.rule);
  if (record.lease !== "") text("lease", record.lease);
  if (record.resourceRef !== "") text("resource_ref", record.resourceRef);
}

function text(member: string, value: string): void {
  out.raw(',"');
  out.raw(member);
  out.raw('":');
  if (value.length <= MAX_TEXT) {
    out.quoted(value);
    return;
  }
  out.quoted(value.slice(0, MAX_TEXT));
  out.raw(`,"${member}_cut":${value.length}`);
}

/** @param head up to the quote @param value in which nothing has to be escaped */
function name(head: string, value: string): void {
  out.raw(head);
  out.raw(value);
  out.raw('"');
}

/** Nothing for 0. */
function number(head: string, value: number): void {
  if (value === 0) return;
  out.raw(head);
  out.whole(value);
}

/** `value` as a JSON string of printable ASCII. */
export function quoted(value: string): string {
  quoting.cut(0);
  quoting.quoted(value);
  return quoting.toString();
}

const quoting = new JsonBytes();

function micros(ms: number): number {
  return Math.round(ms * 1000);
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
