import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { isNonce, jwkText, type ProofClaims, type ProofKey, proofInput, proofKeyOf } from "../../core/dpop-proof.ts";
import { Secret } from "../../core/secret.ts";

/** A key that DPoP proofs are made with (RFC 9449 §4), for minters that ask for bound tokens. */
export class DpopKey {
  readonly public: ProofKey;
  readonly #private: KeyObject;

  private constructor(key: KeyObject, publicKey: ProofKey) {
    this.#private = key;
    this.public = publicKey;
  }

  /** A new one on P-256 (ES256), which every server that knows DPoP takes. */
  static generate(): DpopKey {
    const key = DpopKey.of(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
    if (key === null) throw new Error("a new P-256 key is no P-256 key");
    return key;
  }

  /**
   * @param text PEM, unencrypted, or JSON of a private JWK (RFC 7517)
   * @returns `null` for anything that is no private key on P-256 or Ed25519
   */
  static read(text: string): DpopKey | null {
    try {
      return DpopKey.of(
        text.trimStart().startsWith("{")
          ? createPrivateKey({ key: JSON.parse(text) as Record<string, string>, format: "jwk" })
          : createPrivateKey(text),
      );
    } catch {
      // What the parsers say is about a secret.
      return null;
    }
  }

  private static of(key: KeyObject): DpopKey | null {
    const publicKey = proofKeyOf(createPublicKey(key).export({ format: "jwk" }));
    return publicKey === null ? null : new DpopKey(key, publicKey);
  }

  /** RFC 7638 with SHA-256: what `cnf.jkt` of a bound token says. */
  get thumbprint(): string {
    return createHash("sha256").update(this.publicJwk).digest("base64url");
  }

  /** For `Material`. */
  get publicJwk(): string {
    return jwkText(this.public);
  }

  /** PKCS #8. */
  pem(): Secret {
    return Secret.of(this.#private.export({ type: "pkcs8", format: "pem" }).toString());
  }

  /** @param input of `proofInput` @returns base64url */
  sign(input: string): string {
    const bytes = Buffer.from(input);
    const key = this.#private;
    const signature =
      this.public.kty === "EC" ? sign("sha256", bytes, { key, dsaEncoding: "ieee-p1363" }) : sign(null, bytes, key);
    return signature.toString("base64url");
  }

  /** A whole proof. */
  prove(claims: ProofClaims): string {
    const input = proofInput(this.public, claims);
    return `${input}.${this.sign(input)}`;
  }
}

export interface ProofTools {
  readonly clock: Clock;
  readonly randomBytes: (size: number) => Buffer;
}

/** What a token endpoint answered, as far as proofs go. */
export interface TokenAnswer {
  readonly status: number;
  /** `DPoP-Nonce` of the answer, or `null`. */
  readonly nonce: string | null;
  /** `error` of its JSON (RFC 6749 §5.2), or `null`. */
  readonly error: string | null;
}

/** Proofs for one token endpoint with one key, and the nonce that it gave last. */
export class TokenEndpointProofs {
  readonly key: DpopKey;
  readonly #htu: string;
  readonly #tools: ProofTools;
  #nonce: string | null = null;

  /** @param url of the endpoint; query and fragment are no part of a proof */
  constructor(key: DpopKey, url: URL, tools: ProofTools) {
    this.key = key;
    this.#htu = `${url.protocol}//${url.host}${url.pathname}`;
    this.#tools = tools;
  }

  /**
   * Posts with a proof, and once more where the endpoint asks for a nonce (RFC 9449 §8). It has done nothing then, so that a
   * refresh token that is used once is not used up.
   * @param post sends one request with this value of `DPoP`; called once or twice
   */
  async post<Answer extends TokenAnswer>(post: (proof: string) => Promise<Answer>): Promise<Answer> {
    const first = await this.#postOnce(post);
    const isAsked = first.status === 400 && first.error === "use_dpop_nonce" && first.nonce !== null;
    return isAsked && first.nonce === this.#nonce ? await this.#postOnce(post) : first;
  }

  async #postOnce<Answer extends TokenAnswer>(post: (proof: string) => Promise<Answer>): Promise<Answer> {
    const { clock, randomBytes } = this.#tools;
    const answer = await post(
      this.key.prove({
        jti: randomBytes(16).toString("base64url"),
        htm: "POST",
        htu: this.#htu,
        iat: Math.floor(clock.wallMs() / 1000),
        ath: null,
        nonce: this.#nonce,
      }),
    );
    if (answer.nonce !== null && isNonce(answer.nonce)) this.#nonce = answer.nonce;
    return answer;
  }
}
