import { sessionKey } from "../core/session-key.ts";
import { ByteBudget } from "../core/byte-budget.ts";
import { Denial } from "../core/denial.ts";
import type { OutboundHead } from "../core/exchange.ts";
import type { Material } from "../core/material.ts";
import { WholeBody } from "../core/whole-body.ts";
import type { RequestBody } from "../core/wire.ts";
import { type AttachmentMaker, fieldValue, type Occasion, type Rendering, revealed, unusable } from "./attachment.ts";
import { percentEncode } from "./percent.ts";
import { signedHeaders } from "./sigv4/canonical.ts";
import { ChunkedPayload, type ChunkSigner } from "./sigv4/chunked-payload.ts";
import { namesCallInBody, refuseCredentialCall, refuseCredentialForm } from "./sigv4/credential-calls.ts";
import { DigestBody, mismatch } from "./sigv4/digest-body.ts";
import {
  type GuestSignature,
  guestSignature,
  type GuestRules,
  refuseForm,
  unsupported,
} from "./sigv4/guest-signature.ts";
import { type Payload, payloadOf, UNSIGNED } from "./sigv4/payload.ts";
import { splitQuery } from "./sigv4/query-auth.ts";
import { isS3, refuseCopySource } from "./sigv4/s3.ts";
import { ALGORITHM, EMPTY_SHA256, sha256, SigningKey, type Stamp } from "./sigv4/signing-key.ts";

/** What only the edge may say, whichever way the guest signs. */
const FIELD_NAMES = [
  "authorization",
  "x-amz-date",
  "x-amz-security-token",
  "x-amz-s3session-token",
  "x-amz-region-set",
] as const;

/** Chunks of one destination that wait for their end at a time; a session that is not one of many gets a quarter, and that is one chunk at least. */
const HELD_CHUNK_BYTES = 67_108_864;

/** A presigned query is good for no longer than this: it is sent at once. */
const MOST_EXPIRES_SECONDS = 300;

/**
 * AWS Signature Version 4. The guest signs with a stand-in, or not at all; the edge takes that away and signs what is sent, with
 * the keys of the lease, for the region and service of the destination. It stands last, because it signs what others wrote.
 *
 * A body whose digest the guest names is checked while it is relayed, the chunks of S3 are signed anew one by one, and a body of
 * which nothing is said is held whole and hashed.
 */
export const sigv4: AttachmentMaker<"sigv4"> = (spec, destination, tools) => {
  const { region, service } = spec;
  const scheme = destination.scheme;
  const rules: GuestRules = { region, service, standIn: spec.standIn, unsigned: spec.unsigned };
  // What a head said of itself before it was cut: the signature replaces one of the same form.
  const asked = new WeakMap<OutboundHead, GuestSignature | Denial>();
  const budget = new ByteBudget(Math.max(HELD_CHUNK_BYTES, 4 * spec.bodyBytes));
  const readsForms = spec.credentialCalls === "refuse" && namesCallInBody(service);
  const refuseCalls = (head: Pick<OutboundHead, "target" | "fields">): void => {
    if (spec.credentialCalls === "refuse") refuseCredentialCall(service, head);
    if (spec.copySources === "refuse" && isS3(service)) refuseCopySource(head);
  };

  return {
    fieldNames: FIELD_NAMES,
    cut(head) {
      asked.set(
        head,
        orDenial(() => guestSignature(head.target, head.fields, rules)),
      );
      head.target = splitQuery(head.target).target;
    },
    wholeBodyBytes(ask, body) {
      const signature = guestSignature(ask.target, ask.fields, rules);
      refuseForm(service, ask.method, ask.fields);
      refuseCalls(ask);
      const payload = payloadOf(ask, signature, { service, scheme });
      return body.length !== "none" && (payload.as === "hashed" || readsForms) ? spec.bodyBytes : null;
    },
    render(material) {
      const keys = keysOf(material);
      const key = new SigningKey(keys.secret, { region, service });

      function apply(head: OutboundHead, { request, once, permit }: Occasion): boolean {
        const signature = asked.get(head);
        if (signature === undefined) throw unusable("the head was not cleansed");
        if (signature instanceof Denial) throw signature;
        if (!head.target.startsWith("/") || head.target.includes("#")) throw unsupported("a target that is no path");
        refuseForm(service, head.method, head.fields);
        refuseCalls(head);
        if (readsForms) refuseCredentialForm(service, head, heldBytes(request.body));
        const payload = payloadOf(head, signature, { service, scheme });
        const word = payloadWord(payload, request.body);
        const stamp = key.stampAt(tools.clock.wallMs());
        const made =
          signature.in === "query"
            ? signQuery(head, word, stamp, Math.min(signature.expiresSeconds, MOST_EXPIRES_SECONDS))
            : signFields(head, word, stamp);
        once.push(made);
        if (payload.as === "digest" && !isHeld(request.body)) request.body = new DigestBody(request.body, word);
        if (payload.as === "chunks") {
          const owner = sessionKey(permit.session);
          request.body = chunked(request.body, payload, owner, chunkSigner(key, stamp, made));
        }
        return true;
      }

      function signFields(head: OutboundHead, payload: string, stamp: Stamp): string {
        const { fields, method, target } = head;
        if (isS3(service) && !fields.has("x-amz-content-sha256")) fields.append("X-Amz-Content-Sha256", payload);
        fields.append("X-Amz-Date", stamp.time);
        if (keys.token !== null) fields.append("X-Amz-Security-Token", keys.token);
        const headers = signedHeaders(fields, isSigned);
        const made = key.signRequest(stamp, { method, target, headers, payload }, isS3(service));
        const credential = `Credential=${keys.id}/${stamp.scope}`;
        fields.append("Authorization", `${ALGORITHM} ${credential}, SignedHeaders=${headers.names}, Signature=${made}`);
        return made;
      }

      function signQuery(head: OutboundHead, payload: string, stamp: Stamp, expiresSeconds: number): string {
        const headers = signedHeaders(head.fields, isSigned);
        const parameters = [
          `X-Amz-Algorithm=${ALGORITHM}`,
          `X-Amz-Credential=${percentEncode(`${keys.id}/${stamp.scope}`)}`,
          `X-Amz-Date=${stamp.time}`,
          `X-Amz-Expires=${expiresSeconds}`,
          `X-Amz-SignedHeaders=${percentEncode(headers.names)}`,
        ];
        if (keys.token !== null) parameters.push(`X-Amz-Security-Token=${percentEncode(keys.token)}`);
        const target = appended(head.target, parameters.join("&"));
        const made = key.signRequest(stamp, { method: head.method, target, headers, payload }, isS3(service));
        head.target = `${target}&X-Amz-Signature=${made}`;
        return made;
      }

      function chunked(body: RequestBody, payload: ChunksOf, owner: string, signer: ChunkSigner): RequestBody {
        const { signed, trailers, decodedBytes } = payload;
        const mostChunkBytes = spec.bodyBytes;
        return new ChunkedPayload(body, {
          signer: signed ? signer : null,
          trailers,
          decodedBytes,
          mostChunkBytes,
          budget,
          owner,
        });
      }

      return { values: keys.values, apply } satisfies Rendering;
    },
  };
};

type ChunksOf = Extract<Payload, { as: "chunks" }>;

/** `host`, what says how the body is to be read, and all that AWS reads of its own; nothing that a hop may change. */
function isSigned(name: string): boolean {
  return name === "host" || name === "content-type" || name === "content-md5" || name.startsWith("x-amz-");
}

interface Keys {
  readonly id: string;
  readonly secret: string;
  readonly token: string | null;
  readonly values: readonly string[];
}

function keysOf(material: Material): Keys {
  if (material.kind !== "aws") throw unusable(`sigv4 takes AWS keys, custody sent ${material.kind}`);
  const { accessKeyId: id } = material;
  // Slash and comma would end it early in `Credential=`.
  if (!/^[!-+\-.0-~]{1,128}$/.test(id))
    throw unusable("the access key id holds a character that no signature may name");
  const secret = revealed(material.secretAccessKey);
  const token = material.sessionToken === null ? null : fieldValue(revealed(material.sessionToken));
  const values = token === null ? [secret] : [...new Set([percentEncode(token), token]), secret];
  return { id, secret, token, values };
}

function isHeld(body: RequestBody): boolean {
  return body.length === "none" || body instanceof WholeBody;
}

function heldBytes(body: RequestBody): Buffer {
  if (body instanceof WholeBody) return body.bytes;
  if (body.length === "none") return Buffer.alloc(0);
  throw unusable("the body was not held");
}

/** What stands for the body in the signature. @throws Denial `body_digest_mismatch` where that is known already */
function payloadWord(payload: Payload, body: RequestBody): string {
  switch (payload.as) {
    case "unsigned":
      return UNSIGNED;
    case "chunks":
      if (body.length === "none") throw unsupported("a chunked payload without a body");
      return payload.word;
    case "digest":
      if (isHeld(body) && digestOf(body) !== payload.sha256) throw mismatch();
      return payload.sha256;
    case "hashed":
      return digestOf(body);
  }
}

function digestOf(body: RequestBody): string {
  const bytes = heldBytes(body);
  return bytes.length === 0 ? EMPTY_SHA256 : sha256(bytes);
}

function chunkSigner(key: SigningKey, stamp: Stamp, seed: string): ChunkSigner {
  let previous = seed;
  return {
    chunk: (data) => (previous = key.signChunk(stamp, previous, data)),
    trailers: (lines) => (previous = key.signTrailers(stamp, previous, lines)),
  };
}

function appended(target: string, parameters: string): string {
  if (!target.includes("?")) return `${target}?${parameters}`;
  return target.endsWith("?") || target.endsWith("&") ? target + parameters : `${target}&${parameters}`;
}

function orDenial<T>(read: () => T): T | Denial {
  try {
    return read();
  } catch (thrown) {
    return Denial.from(thrown);
  }
}
