import { randomBytes } from "node:crypto";
import type { AttachTools } from "../../src/attach/attachment.ts";
import type { AttachPort, Injected } from "../../src/core/ports.ts";
import { WholeBody } from "../../src/core/whole-body.ts";
import type { OutboundRequest, RequestBody } from "../../src/core/wire.ts";
import { Authority } from "../../src/core/authority.ts";
import { Denial, type DenialCode } from "../../src/core/denial.ts";
import type { AttachmentSpec, Destination } from "../../src/core/destination.ts";
import { Lease, type LeaseScope, type OutboundHead, Permit, Session } from "../../src/core/exchange.ts";
import type { Material } from "../../src/core/material.ts";
import { Fields } from "../../src/core/fields.ts";
import { Secret } from "../../src/core/secret.ts";

/** The proofs and heads that the tests of this folder need, made by hand. */

export const NOW_MS = 1000;

const API = Authority.parse("api.example.com:443", null) as Authority;
const session = Session.prove({ id: "s1", tenant: "t1", workspace: "w1", subject: "u1", roles: [] });

export function destination(attachments: readonly AttachmentSpec[], more: Partial<Destination> = {}): Destination {
  return Object.freeze({
    name: "api",
    scheme: "https",
    tls: "inspect",
    http: "auto",
    mode: "enforce",
    credential: { custody: "main", name: "key" },
    attachments,
    dropHeaders: [],
    addresses: [],
    trust: null,
    synthetic: null,
    parent: null,
    ...more,
  });
}

export function permitFor(to: Destination, wouldDeny: DenialCode | null = null, authority = API): Permit {
  return Permit.grant(session, authority, to, wouldDeny === null ? "allow[0]" : "report", wouldDeny);
}

export function leaseOf(material: Material, scope: Partial<LeaseScope> = {}, credential = "key"): Lease {
  return Lease.grant({
    id: "lease-1",
    credential,
    material,
    scope: { tenant: "t1", session: "s1", host: "api.example.com", port: 443, ...scope },
    expiresAtMs: NOW_MS + 60_000,
    grantedAtMs: NOW_MS,
    maxUses: null,
    resourceRef: "ref",
  });
}

export const token = (text: string): Material => ({ kind: "token", token: Secret.of(text) });
export const userpass = (username: string, password: string): Material => ({
  kind: "userpass",
  username,
  password: Secret.of(password),
});
export const headerValue = (text: string): Material => ({ kind: "header", value: Secret.of(text) });

/** What attachments take from outside. */
export const TOOLS: AttachTools = {
  clock: { monotonicMs: () => NOW_MS, wallMs: () => Date.parse("2030-01-02T03:04:05Z") },
  randomBytes,
};

/** A request without a body, beside its head. */
export function requestOf(body: RequestBody = new WholeBody(Buffer.alloc(0))): OutboundRequest {
  return { body, upgrade: null, filter: null, wantsTrailers: false, cleanseTrailers: () => undefined };
}

/** `attach` where nothing is waited for. */
export function attachNow(
  attach: AttachPort,
  permit: Permit,
  lease: Lease,
  head: OutboundHead,
  nowMs: number,
  request = requestOf(),
): Injected {
  const injected = attach.attach(permit, lease, head, request, nowMs);
  if (injected instanceof Promise) throw new Error("this attachment is to be waited for");
  return injected;
}

export type Line = readonly [string, string];

export function headOf(lines: readonly Line[], target = "/v1/items"): OutboundHead {
  return { method: "GET", target, fields: Fields.of(lines) };
}

/** The lines as they would go out. */
export function linesOf(head: OutboundHead): string[] {
  return head.fields.render().split("\r\n").slice(0, -1);
}

export function codeOf(run: () => unknown): string {
  return denialOf(run)?.code ?? "no denial";
}

export function denialOf(run: () => unknown): Denial | null {
  try {
    run();
    return null;
  } catch (thrown) {
    if (thrown instanceof Denial) return thrown;
    throw thrown;
  }
}
