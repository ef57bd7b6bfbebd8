import type { AttachTools } from "../../../src/attach/attachment.ts";
import { createAttachPort } from "../../../src/attach/attach.ts";
import type { Sigv4Spec } from "../../../src/core/destination.ts";
import { Authority } from "../../../src/core/authority.ts";
import { type Ask, type OutboundHead } from "../../../src/core/exchange.ts";
import { Fields } from "../../../src/core/fields.ts";
import type { Material } from "../../../src/core/material.ts";
import type { Injected } from "../../../src/core/ports.ts";
import { Secret } from "../../../src/core/secret.ts";
import { WholeBody } from "../../../src/core/whole-body.ts";
import type { OutboundRequest, RequestBody } from "../../../src/core/wire.ts";
import { attachNow, destination, leaseOf, type Line, NOW_MS, permitFor, requestOf } from "../exchange.ts";

/** One exchange with a destination of `as: sigv4`, as the line would take it. */

export const STAND_IN = "AKIAPOSTERNSTANDIN00";
export const SUITE_KEYS: AwsKeys = {
  accessKeyId: "AKIDEXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
};
export const S3_KEYS: AwsKeys = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
export const SUITE_TIME = "2015-08-30T12:36:00Z";
export const S3_TIME = "2013-05-24T00:00:00Z";

export interface AwsKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export function aws({ accessKeyId, secretAccessKey, sessionToken }: AwsKeys): Material {
  const token = sessionToken === undefined ? null : Secret.of(sessionToken);
  return { kind: "aws", accessKeyId, secretAccessKey: Secret.of(secretAccessKey), sessionToken: token };
}

export function specOf(more: Partial<Sigv4Spec> = {}): Sigv4Spec {
  return {
    as: "sigv4",
    region: "us-east-1",
    service: "service",
    standIn: STAND_IN,
    unsigned: "sign",
    credentialCalls: "refuse",
    copySources: "refuse",
    bodyBytes: 1_048_576,
    ...more,
  };
}

export interface Asked {
  readonly method?: string;
  readonly target?: string;
  readonly lines?: readonly Line[];
  readonly body?: RequestBody;
  readonly spec?: Partial<Sigv4Spec>;
  readonly keys?: AwsKeys;
  readonly time?: string;
  readonly scheme?: "http" | "https";
}

export interface Attached {
  readonly head: OutboundHead;
  readonly request: OutboundRequest;
  readonly injected: Injected;
  readonly authorization: string;
}

const authority = Authority.parse("api.example.com:443", null) as Authority;

/** What the line does: asks for the body, cleanses, attaches. @throws Denial */
export function attached(asked: Asked): Attached {
  const { method = "GET", target = "/", lines = [], body = new WholeBody(Buffer.alloc(0)), scheme = "https" } = asked;
  const to = destination([specOf(asked.spec)], { scheme });
  const permit = permitFor(to);
  const tools: AttachTools = {
    clock: { monotonicMs: () => NOW_MS, wallMs: () => Date.parse(asked.time ?? SUITE_TIME) },
    randomBytes: () => Buffer.alloc(0),
  };
  const port = createAttachPort(tools);
  const ask: Ask = { method, scheme, authority, target, fields: Fields.of(lines) };
  port.wholeBodyBytes(permit, ask, body);
  const head: OutboundHead = { method, target, fields: ask.fields.clone() };
  const request = requestOf(body);
  port.cleanse(permit, head);
  const injected = attachNow(port, permit, leaseOf(aws(asked.keys ?? SUITE_KEYS)), head, NOW_MS, request);
  return { head, request, injected, authorization: head.fields.allSent("authorization").join(" | ") };
}

/** How much of a body the attachment wants to hold. @throws Denial */
export function wholeBodyBytes(asked: Asked): number | null {
  const { method = "GET", target = "/", lines = [], body = new WholeBody(Buffer.alloc(0)), scheme = "https" } = asked;
  const port = createAttachPort({
    clock: { monotonicMs: () => 0, wallMs: () => 0 },
    randomBytes: () => Buffer.alloc(0),
  });
  const ask: Ask = { method, scheme, authority, target, fields: Fields.of(lines) };
  return port.wholeBodyBytes(permitFor(destination([specOf(asked.spec)], { scheme })), ask, body);
}

export function signatureIn(authorization: string): string {
  return /Signature=([0-9a-f]{64})$/.exec(authorization)?.[1] ?? "none";
}

export const HOST: Line = ["Host", "example.amazonaws.com"];
