import { createPublicKey, randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { jwtVerify } from "jose";
import { aws4Post } from "./aws4.ts";
import { type Answer, LoopbackIssuer, SAID } from "./loopback-issuer.ts";

export interface StsOptions {
  readonly region: string;
  readonly keys: Readonly<Record<string, { readonly secret: string; readonly token?: string }>>;
  readonly role: string;
  readonly externalId?: string;
  /** PEM of the key that web identities are signed with. */
  readonly identityKey?: string;
}

class Refusal extends Error {
  readonly status: number;

  constructor(code: string, status = 400) {
    super(code);
    this.status = status;
  }
}

/** A security token service that verifies signatures with another implementation than the one that made them. */
export class StsServer extends LoopbackIssuer {
  /** Answers as AWS does to who asks for nothing else. */
  speaksXml = false;
  readonly forms: URLSearchParams[] = [];
  /** What was given, in order. */
  readonly keys: { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken: string }[] =
    [];
  readonly #options: StsOptions;

  constructor(options: StsOptions) {
    super();
    this.#options = options;
  }

  protected async answer(request: IncomingMessage, body: string): Promise<Answer> {
    try {
      const form = new URLSearchParams(body);
      if (request.method !== "POST" || request.url !== "/") throw new Refusal("InvalidAction");
      const action = form.get("Action") ?? "";
      if (action === "AssumeRole") this.#verified(request, body);
      else if (action === "AssumeRoleWithWebIdentity") await this.#identified(form);
      else throw new Refusal("InvalidAction");
      return this.#issue(action, form);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { status, message } = error;
      if (!this.speaksXml)
        return { status, json: { Error: { Code: message, Message: SAID, Type: "Sender" }, RequestId: "r" } };
      const xmlns = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"';
      const text = `<ErrorResponse ${xmlns}>\n  <Error>\n    <Type>Sender</Type>\n    <Code>${message}</Code>\n    <Message>${SAID}</Message>\n  </Error>\n</ErrorResponse>`;
      return { status, text, type: "text/xml" };
    }
  }

  #verified({ headers }: IncomingMessage, body: string): void {
    const given = headers.authorization ?? "";
    const [, id = "", day = "", region = "", service = "", names = ""] =
      /^AWS4-HMAC-SHA256 Credential=(\w+)\/(\d{8})\/([a-z0-9-]+)\/([a-z0-9-]+)\/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}$/.exec(
        given,
      ) ?? [];
    const key = Object.hasOwn(this.#options.keys, id) ? this.#options.keys[id] : undefined;
    if (key === undefined) throw new Refusal("InvalidClientTokenId", 403);
    const time = String(headers["x-amz-date"]);
    const atMs = Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
    if (!(Math.abs(atMs - Date.now()) < 300_000) || !time.startsWith(day)) throw new Refusal("RequestExpired", 403);
    if (region !== this.#options.region || service !== "sts") throw new Refusal("SignatureDoesNotMatch", 403);
    if (headers["x-amz-security-token"] !== key.token) throw new Refusal("InvalidClientTokenId", 403);
    const signed = names.split(";");
    const needed = ["host", "x-amz-date", "content-type", ...(key.token === undefined ? [] : ["x-amz-security-token"])];
    if (!needed.every((name) => signed.includes(name))) throw new Refusal("SignatureDoesNotMatch", 403);
    const fields = Object.fromEntries(signed.map((name) => [name, String(headers[name])]));
    const expected = aws4Post(fields, body, { region, service }, { accessKeyId: id, secretAccessKey: key.secret });
    if (given !== expected) throw new Refusal("SignatureDoesNotMatch", 403);
  }

  async #identified(form: URLSearchParams): Promise<void> {
    try {
      const key = createPublicKey(this.#options.identityKey ?? "");
      await jwtVerify(form.get("WebIdentityToken") ?? "", key, { audience: "sts.amazonaws.com" });
    } catch {
      throw new Refusal("InvalidIdentityToken");
    }
  }

  #issue(action: string, form: URLSearchParams): Answer {
    const { role, externalId = null } = this.#options;
    const name = form.get("RoleSessionName") ?? "";
    const seconds = Number(form.get("DurationSeconds"));
    if (!/^[\w+=,.@-]{2,64}$/.test(name) || !(seconds >= 900 && seconds <= 43_200))
      throw new Refusal("ValidationError");
    if (form.get("RoleArn") !== role || form.get("ExternalId") !== externalId) throw new Refusal("AccessDenied", 403);
    if ((form.get("Policy")?.length ?? 0) > 2048) throw new Refusal("PackedPolicyTooLarge");
    this.forms.push(form);
    const arns = [...form].filter(([key]) => key.startsWith("PolicyArns.")).map(([, value]) => value);
    const secret = randomBytes(20).toString("base64");
    this.issued.push({ secret, asked: { name, arns, policy: form.get("Policy") } });
    const credentials = {
      AccessKeyId: `ASIA${randomBytes(8).toString("hex").toUpperCase()}`,
      SecretAccessKey: secret,
      SessionToken: randomBytes(300).toString("base64"),
    };
    const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, SessionToken: sessionToken } = credentials;
    this.keys.push({ accessKeyId, secretAccessKey, sessionToken });
    const endS = Math.floor(Date.now() / 1000) + seconds;
    if (!this.speaksXml)
      return {
        status: 200,
        json: { [`${action}Response`]: { [`${action}Result`]: { Credentials: { ...credentials, Expiration: endS } } } },
      };
    const end = new Date(endS * 1000).toISOString();
    const inner = Object.entries({ ...credentials, Expiration: end }).map(([key, text]) => `<${key}>${text}</${key}>`);
    return {
      status: 200,
      type: "text/xml",
      text: `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n  <${action}Result>\n    <AssumedRoleUser><Arn>arn</Arn></AssumedRoleUser>\n    <Credentials>\n${inner.join("\n")}\n</Credentials>\n  </${action}Result>\n  <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\n</${action}Response>\n`,
    };
  }
}
