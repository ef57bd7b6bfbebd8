import type { z } from "zod";
import type { CustodyHealth, LeaseGrant, LeaseRequest } from "../core/custody.ts";
import type { Material } from "../core/material.ts";
import type { Narrowing } from "../core/narrow.ts";
import { Secret } from "../core/secret.ts";
import {
  type HealthJson,
  type LeaseGrantJson,
  leaseGrantSchema,
  type LeaseRequestJson,
  leaseRequestSchema,
  MOST_DETAIL_CHARS,
} from "./wire-schema.ts";

/** @returns the request, or `null` when it is not one */
export function decodeLeaseRequest(json: unknown): LeaseRequest | null {
  const parsed = leaseRequestSchema.safeParse(json);
  if (!parsed.success) return null;
  const { narrow, method_class: methodClass, ...rest } = parsed.data;
  const request = { ...rest, methodClass };
  return narrow === undefined ? request : { ...request, narrow };
}

/** @returns the body for the wire, or `null` when a value of the request is out of the wire's bounds */
export function encodeLeaseRequest(request: LeaseRequest): LeaseRequestJson | null {
  const { credential, host, port, destination, purpose, methodClass, narrow } = request;
  const { id, tenant, workspace, subject } = request.session;
  const body = {
    session: { id, tenant, workspace, subject },
    credential,
    host,
    port,
    destination,
    purpose,
    method_class: methodClass,
    ...(narrow === undefined ? {} : { narrow: narrowJson(narrow) }),
  };
  return leaseRequestSchema.safeParse(body).success ? body : null;
}

export function narrowJson(narrow: Narrowing): Record<string, string[]> {
  return Object.fromEntries(Object.entries(narrow).map(([name, values]) => [name, [...values]]));
}

/** The health for the wire: its problem as one bounded line. */
export function encodeHealth({ catalogue, problem }: CustodyHealth): HealthJson {
  return {
    status: problem === null ? "ok" : "degraded",
    ...(catalogue === null ? {} : { catalogue }),
    ...(problem === null ? {} : { detail: oneLine(problem) }),
  };
}

function oneLine(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]+/gu, " ").trim();
  return line.length > MOST_DETAIL_CHARS ? `${line.slice(0, MOST_DETAIL_CHARS - 3)}...` : line || "unknown";
}

/** @returns the grant, or the place (a path of known keys, never a value) at which the JSON is not one */
export function decodeLeaseGrant(json: unknown): LeaseGrant | { readonly wrongAt: string } {
  const parsed = leaseGrantSchema.safeParse(json);
  if (!parsed.success) return { wrongAt: placeOf(parsed.error) };
  const grant = parsed.data;
  return {
    leaseId: grant.lease_id,
    credential: grant.credential,
    material: decodeMaterial(grant),
    ttlMs: grant.ttl_ms,
    maxUses: grant.max_uses ?? null,
    scope: grant.scope,
    resourceRef: grant.resource_ref,
    binding: grant.binding ?? null,
  };
}

/** The grant for the wire. The result holds the plain material: it is serialised at once and kept nowhere. */
export function encodeLeaseGrant(grant: LeaseGrant): LeaseGrantJson {
  const { tenant, session, host, port } = grant.scope;
  const base = {
    lease_id: grant.leaseId,
    credential: grant.credential,
    ttl_ms: grant.ttlMs,
    ...(grant.maxUses === null ? {} : { max_uses: grant.maxUses }),
    scope: { tenant, session, host, port },
    resource_ref: grant.resourceRef,
    ...(grant.binding === null ? {} : { binding: { type: grant.binding.type, value: grant.binding.value } }),
  };
  const { material } = grant;
  switch (material.kind) {
    case "token":
      return { ...base, kind: "token", material: { token: material.token.reveal() } };
    case "userpass":
      return {
        ...base,
        kind: "userpass",
        material: { username: material.username, password: material.password.reveal() },
      };
    case "header":
      return { ...base, kind: "header", material: { value: material.value.reveal() } };
    case "aws":
      return {
        ...base,
        kind: "aws",
        material: {
          access_key_id: material.accessKeyId,
          secret_access_key: material.secretAccessKey.reveal(),
          ...(material.sessionToken === null ? {} : { session_token: material.sessionToken.reveal() }),
        },
      };
    case "signing_key":
      return {
        ...base,
        kind: "signing_key",
        material: { ...(material.keyId === null ? {} : { key_id: material.keyId }), key: material.key.reveal() },
      };
    case "client_certificate":
      return { ...base, kind: "client_certificate", material: { chain: material.chain, key: material.key.reveal() } };
    case "dpop":
      return {
        ...base,
        kind: "dpop",
        material: {
          token: material.token.reveal(),
          public_jwk: material.publicJwk,
          ...(material.key === null ? {} : { key: material.key.reveal() }),
        },
      };
  }
}

function decodeMaterial(grant: LeaseGrantJson): Material {
  switch (grant.kind) {
    case "token":
      return { kind: "token", token: Secret.of(grant.material.token) };
    case "userpass":
      return { kind: "userpass", username: grant.material.username, password: Secret.of(grant.material.password) };
    case "header":
      return { kind: "header", value: Secret.of(grant.material.value) };
    case "aws": {
      const { access_key_id: accessKeyId, secret_access_key: secret, session_token: token } = grant.material;
      const sessionToken = token === undefined ? null : Secret.of(token);
      return { kind: "aws", accessKeyId, secretAccessKey: Secret.of(secret), sessionToken };
    }
    case "signing_key":
      return { kind: "signing_key", keyId: grant.material.key_id ?? null, key: Secret.of(grant.material.key) };
    case "client_certificate":
      return { kind: "client_certificate", chain: grant.material.chain, key: Secret.of(grant.material.key) };
    case "dpop": {
      const { token, public_jwk: publicJwk, key } = grant.material;
      return { kind: "dpop", token: Secret.of(token), publicJwk, key: key === undefined ? null : Secret.of(key) };
    }
  }
}

/** Path and kind of the first problem. Strict objects descend into known keys only, so a path never carries a value. */
function placeOf(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return "(root)";
  return `${issue.path.length === 0 ? "(root)" : issue.path.join(".")} (${issue.code})`;
}
