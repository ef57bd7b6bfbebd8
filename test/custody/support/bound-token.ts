import { createHash } from "node:crypto";
import { htuOf, type ProofClaims, proofInput } from "../../../src/core/dpop-proof.ts";
import { Authority } from "../../../src/core/authority.ts";
import { DpopKey } from "../../../src/custody/minters/dpop-key.ts";

/** A token, the key that it is bound to, and what is asked to be signed with it. */
export class BoundToken {
  readonly token: string;
  readonly key = DpopKey.generate();

  constructor(token = "bound-token-5b1f09") {
    this.token = token;
  }

  /** What a source yields. */
  get root(): string {
    return JSON.stringify({ token: this.token, private_key: this.key.pem().reveal() });
  }

  get ath(): string {
    return createHash("sha256").update(this.token).digest("base64url");
  }

  /** The signing input of a proof for `GET https://api.example.com/v1`. */
  input(change: Partial<ProofClaims> = {}, key = this.key.public): string {
    const authority = Authority.parse("api.example.com:443", null) as Authority;
    return proofInput(key, {
      jti: "j1",
      htm: "GET",
      htu: htuOf("https", authority, "/v1"),
      iat: Math.floor(Date.now() / 1000),
      ath: this.ath,
      nonce: null,
      ...change,
    });
  }
}
