import { createHash, X509Certificate } from "node:crypto";
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import forge from "node-forge";
import { jwtVerify } from "jose";
import { type Answer, LoopbackIssuer, SAID } from "./loopback-issuer.ts";
import { keyPair } from "./minting.ts";

export interface EntraOptions {
  readonly tenant: string;
  readonly clientId: string;
  readonly secret?: string;
  /** PEM of the certificate that the application knows. */
  readonly certificate?: string;
  /** The one token of another issuer that it trusts. */
  readonly federated?: string;
  readonly resources: readonly string[];
}

class Refusal extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`AADSTS${code}`);
    this.code = code;
  }
}

/** Entra's token endpoint of one tenant, for applications. */
export class EntraServer extends LoopbackIssuer {
  readonly #options: EntraOptions;
  readonly #jtis = new Set<string>();

  constructor(options: EntraOptions) {
    super();
    this.#options = options;
  }

  protected async answer(request: IncomingMessage, body: string): Promise<Answer> {
    const { tenant, clientId, resources } = this.#options;
    try {
      if (request.url !== `/${tenant}/oauth2/v2.0/token`) throw new Refusal(90002);
      const form = new URLSearchParams(body);
      if (form.get("client_id") !== clientId) throw new Refusal(700016);
      await this.#prove(form);
      const scopes = (form.get("scope") ?? "").split(" ");
      if (scopes.length !== 1 || scopes[0]?.endsWith("/.default") !== true) throw new Refusal(70011);
      if (!resources.includes(scopes[0])) throw new Refusal(500011);
      const secret = `eyJ0.${randomBytes(400).toString("base64url")}.${randomBytes(64).toString("base64url")}`;
      this.issued.push({ secret, asked: { scopes } });
      const life = { expires_in: this.expiresInS, ext_expires_in: this.expiresInS };
      return { status: 200, json: { access_token: secret, token_type: "Bearer", ...life } };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const description = { error_description: `${error.message}: ${SAID}`, error_codes: [error.code] };
      return { status: error.code === 7_000_215 ? 401 : 400, json: { error: "invalid_client", ...description } };
    }
  }

  async #prove(form: URLSearchParams): Promise<void> {
    const { secret, certificate, federated } = this.#options;
    const [given, assertion] = [form.get("client_secret"), form.get("client_assertion")];
    if (given !== null && assertion !== null) throw new Refusal(7_000_216);
    if (given !== null && secret !== undefined) {
      if (given !== secret) throw new Refusal(7_000_215);
      return;
    }
    if (form.get("client_assertion_type") !== "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
      throw new Refusal(7_000_216);
    if (federated !== undefined && assertion === federated) return;
    if (certificate === undefined) throw new Refusal(700_211);
    await this.#verify(assertion ?? "", new X509Certificate(certificate));
  }

  async #verify(assertion: string, certificate: X509Certificate): Promise<void> {
    const { tenant, clientId } = this.#options;
    const hash = createHash("sha256").update(certificate.raw).digest("base64url");
    try {
      const { payload, protectedHeader } = await jwtVerify(assertion, certificate.publicKey, {
        algorithms: ["PS256"],
        issuer: clientId,
        subject: clientId,
        audience: `${this.origin}/${tenant}/oauth2/v2.0/token`,
        requiredClaims: ["exp", "nbf", "jti"],
      });
      const { jti = "", exp = 0, nbf = 0 } = payload;
      if (protectedHeader["x5t#S256"] !== hash || this.#jtis.has(jti) || exp - nbf > 600) throw new Refusal(700_027);
      this.#jtis.add(jti);
    } catch {
      throw new Refusal(700_027);
    }
  }
}

/** A certificate of its own making with an RSA key, as PEM. */
export function selfSigned(): { readonly certificate: string; readonly privateKey: string } {
  const { publicKey, privateKey } = keyPair("RS256");
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = "01";
  certificate.validity.notBefore = new Date(Date.now() - 60_000);
  certificate.validity.notAfter = new Date(Date.now() + 86_400_000);
  certificate.setSubject([{ name: "commonName", value: "application" }]);
  certificate.setIssuer([{ name: "commonName", value: "application" }]);
  certificate.sign(forge.pki.privateKeyFromPem(privateKey) as forge.pki.rsa.PrivateKey, forge.md.sha256.create());
  return { certificate: forge.pki.certificateToPem(certificate).replaceAll("\r\n", "\n"), privateKey };
}
