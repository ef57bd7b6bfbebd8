import { parsedJson } from "../core/json-text.ts";
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { Denial } from "../core/denial.ts";
import { htuOf, isSignature, jwkText, type ProofKey, proofInput, proofKeyOf } from "../core/dpop-proof.ts";
import type { Lease, OutboundHead } from "../core/exchange.ts";
import type { Material } from "../core/material.ts";
import { type AttachmentMaker, type AttachTools, fieldValue, type Occasion, revealed, unusable } from "./attachment.ts";
import { asksForNonce, Nonces, nonceIn } from "./dpop-nonce.ts";

/** Bodies up to this length, `bytes`, are held whole: a server that asks for a nonce then gets the same request again. */
const MOST_HELD_BYTES = 64 * 1024;
/** What custody takes to be signed, `characters`. */
const MOST_INPUT_CHARS = 12 * 1024;

/**
 * `Authorization: DPoP <token>` and a proof of the key that the token is bound to, made for each request (RFC 9449 §4, §7). The
 * edge signs where the lease brings the key; where custody keeps it, custody signs. Takes a bound token.
 */
export const dpop: AttachmentMaker<"dpop"> = (_spec, { scheme }, tools) => {
  const nonces = new Nonces();
  return {
    fieldNames: ["authorization", "dpop"],
    cut: null,
    wholeBodyBytes: (_ask, { length }) =>
      typeof length === "number" && length <= MOST_HELD_BYTES ? MOST_HELD_BYTES : null,
    observe(lease, answer) {
      const nonce = nonceIn(answer.fields);
      // The guest makes no proofs.
      answer.fields.dropAll("dpop-nonce");
      if (nonce === null) return false;
      nonces.learn(lease, nonce);
      return answer.status === 401 && asksForNonce(answer.fields);
    },
    render(material) {
      if (material.kind !== "dpop") throw unusable(`dpop takes a bound token, custody sent ${material.kind}`);
      const token = revealed(material.token);
      const value = fieldValue(`DPoP ${token}`);
      const ath = createHash("sha256").update(token).digest("base64url");
      const key = proofKey(material.publicJwk);
      const signer = signerOf(material, key, tools);
      return {
        values: [value, token],
        apply(head, occasion) {
          const { permit, lease } = occasion;
          const input = proofInput(key, {
            jti: tools.randomBytes(16).toString("base64url"),
            htm: head.method,
            htu: htuOf(scheme, permit.authority, head.target),
            iat: Math.floor(tools.clock.wallMs() / 1000),
            ath,
            nonce: nonces.of(lease),
          });
          const signature = signer(lease, input);
          if (!(signature instanceof Promise)) return write(head, occasion, value, `${input}.${signature}`);
          return signature.then((made) => write(head, occasion, value, `${input}.${made}`));
        },
      };
    },
  };
};

function write({ fields }: OutboundHead, { once }: Occasion, authorization: string, proof: string): true {
  fields.append("Authorization", authorization);
  fields.append("DPoP", proof);
  once.push(proof);
  return true;
}

/** @throws Denial `lease_unusable` for anything but a public key of a known kind: it is sent with each request */
function proofKey(text: string): ProofKey {
  const key = proofKeyOf(parsedJson(text));
  if (key === null) throw unusable("the public key of the bound token is none that proofs are made with");
  return key;
}

type Signer = (lease: Lease, input: string) => string | Promise<string>;

function signerOf({ key: pem }: Extract<Material, { kind: "dpop" }>, key: ProofKey, tools: AttachTools): Signer {
  if (pem === null) return (lease, input) => signedAtCustody(tools, lease, input);
  const privateKey = privateKeyOf(revealed(pem), key);
  return (_lease, input) => signed(privateKey, key, input);
}

/** @throws Denial `lease_unusable` when it is not the key that the proofs name */
function privateKeyOf(pem: string, key: ProofKey): KeyObject {
  let privateKey: KeyObject;
  let publicPart: ProofKey | null;
  try {
    privateKey = createPrivateKey(pem);
    publicPart = proofKeyOf(createPublicKey(privateKey).export({ format: "jwk" }));
  } catch {
    // OpenSSL's text is about a secret.
    throw unusable("the private key of the bound token cannot be read");
  }
  if (publicPart === null || jwkText(publicPart) !== jwkText(key))
    throw unusable("the private key of the bound token is not the one of its public key");
  return privateKey;
}

function signed(key: KeyObject, { kty }: ProofKey, input: string): string {
  const bytes = Buffer.from(input);
  // RFC 7518 §3.4: r and s side by side, not in DER.
  const signature = kty === "EC" ? sign("sha256", bytes, { key, dsaEncoding: "ieee-p1363" }) : sign(null, bytes, key);
  return signature.toString("base64url");
}

async function signedAtCustody({ sign: ask }: AttachTools, lease: Lease, input: string): Promise<string> {
  if (ask === undefined) throw new Denial("internal", { cause: "nobody signs for keys that custody keeps" });
  if (input.length > MOST_INPUT_CHARS)
    throw new Denial("signing_unsupported", { cause: "the path is longer than what custody signs" });
  const signature = await ask(lease, input);
  // It becomes part of a field.
  if (!isSignature(signature)) throw unusable("custody sent no signature of that kind of key");
  return signature;
}
