import { createHash } from "node:crypto";
import { Secret } from "../../core/secret.ts";
import type { VaultServer } from "../../core/vault.ts";
import type { CredentialSource } from "../sources/source.ts";
import { authOf, authOfLookup, objectAt, says, textAt, type VaultAuth } from "./answer.ts";
import { VaultFault } from "./fault.ts";
import type { VaultHttp } from "./http.ts";

/** What a login brought. */
export interface LoggedIn {
  readonly auth: VaultAuth;
  /** Monotonic ms of the moment before the request. */
  readonly sentAtMs: number;
}

/**
 * How custody gets a token of its own. What proves it is read anew for every login, since kubelets, agents and operators replace
 * it; only a secret id that came wrapped is held, because it can be unwrapped once.
 */
export class VaultLoginWay {
  readonly #server: VaultServer;
  readonly #http: VaultHttp;
  readonly #proof: CredentialSource;
  readonly #unwrapped: Unwrapped;

  /** @param proof where the secret id, the JWT or the token is read */
  constructor(server: VaultServer, http: VaultHttp, proof: CredentialSource) {
    this.#server = server;
    this.#http = http;
    this.#proof = proof;
    this.#unwrapped = new Unwrapped(http);
  }

  /**
   * One login.
   * @throws VaultFault, or SourceError of what the proof is read from
   */
  async login(): Promise<LoggedIn> {
    const { login } = this.#server;
    const { secret } = await this.#proof.read(true);
    try {
      switch (login.by) {
        case "approle": {
          const secretId = login.isWrapped ? await this.#unwrapped.secretId(login.mount, secret) : secret;
          return await this.#post(login.mount, { role_id: login.roleId, secret_id: secretId.reveal() });
        }
        case "kubernetes":
        case "jwt":
          return await this.#post(login.mount, { role: login.role, jwt: secret.reveal() });
        case "token":
          return await this.#look(secret);
      }
    } finally {
      secret.zero();
    }
  }

  close(): void {
    this.#unwrapped.zero();
    this.#proof.close();
  }

  async #post(mount: string, body: Readonly<Record<string, string>>): Promise<LoggedIn> {
    const path = `auth/${mount.split("/").map(encodeURIComponent).join("/")}/login`;
    const { status, json, sentAtMs } = await this.#http.call({ method: "POST", path, token: null, body });
    if (status === 200) return { auth: authOf(json, this.#http.where), sentAtMs };
    const reason = REASONS.find(([pattern]) => says(json, "errors", pattern))?.[1];
    throw new VaultFault(
      "login_refused",
      `${this.#http.where} refuses the login at auth/${mount} (status ${status}): ${reason ?? MOUNT_ADVICE[status] ?? "look for it in the audit log of the server"}`,
    );
  }

  /** A token that was given: what it is, the server tells. */
  async #look(given: Secret): Promise<LoggedIn> {
    const token = Secret.of(given.reveal());
    const { status, json, sentAtMs } = await this.#http.call({ method: "GET", path: "auth/token/lookup-self", token });
    if (status === 200) return { auth: authOfLookup(json, token, this.#http.where), sentAtMs };
    token.zero();
    throw new VaultFault(
      "login_refused",
      `${this.#http.where} does not take the token that custody was given (status ${status}): give it a live one whose policies allow auth/token/lookup-self`,
    );
  }
}

/** A secret id that came in a response-wrapping token: opened once, then held in memory alone. */
class Unwrapped {
  readonly #http: VaultHttp;
  #secretId: Secret | null = null;
  /** Digest of the wrapping token that was opened, or that may have been. */
  #opened = "";

  constructor(http: VaultHttp) {
    this.#http = http;
  }

  /** @throws VaultFault of kind `security` when it was opened by somebody else, or does not come from where it should */
  async secretId(mount: string, wrapping: Secret): Promise<Secret> {
    const digest = createHash("sha256").update(wrapping.reveal()).digest("hex");
    if (this.#secretId !== null && digest === this.#opened) return this.#secretId;
    const isOurs = digest === this.#opened;
    await this.#mustComeFrom(mount, wrapping, isOurs);
    this.#opened = digest;
    const { where } = this.#http;
    // The wrapping token as the caller's own and nowhere else: in header and body at once it would be burnt and its value lost.
    const { status, json } = await this.#http.call({
      method: "POST",
      path: "sys/wrapping/unwrap",
      token: wrapping,
    });
    if (status !== 200) {
      // The server's word for it: what was opened, was not opened from here.
      if (!isOurs) this.#opened = "";
      throw this.#gone(status, isOurs);
    }
    this.zero();
    this.#secretId = Secret.of(textAt(objectAt(json, "data", where), "secret_id", where));
    return this.#secretId;
  }

  zero(): void {
    this.#secretId?.zero();
    this.#secretId = null;
  }

  async #mustComeFrom(mount: string, wrapping: Secret, isOurs: boolean): Promise<void> {
    const { where } = this.#http;
    const body = { token: wrapping.reveal() };
    const answer = await this.#http.call({ method: "POST", path: "sys/wrapping/lookup", token: null, body });
    if (answer.status !== 200) throw this.#gone(answer.status, isOurs);
    const from = textAt(objectAt(answer.json, "data", where), "creation_path", where);
    const prefix = `auth/${mount}/role/`;
    const role = from.startsWith(prefix) ? from.slice(prefix.length) : "";
    if (/^[^/]+\/secret-id$/.test(role)) return;
    throw new VaultFault(
      "security",
      `security event: the wrapping token for ${where} was not made at ${prefix}<name>/secret-id: somebody may have exchanged it; find out who delivered it, and have a new secret id wrapped`,
    );
  }

  #gone(status: number, isOurs: boolean): VaultFault {
    const { where } = this.#http;
    return isOurs
      ? new VaultFault(
          "login_refused",
          `${where}: the wrapped secret id was lost on its way to custody, which had asked for it before: have a new one wrapped`,
        )
      : new VaultFault(
          "security",
          `security event: the wrapping token for ${where} is not valid any more (status ${status}): it was opened by somebody else, was opened by an earlier start of this custody, or has expired: find out which, revoke that secret id by its accessor, and have a new one wrapped`,
        );
  }
}

/** Server texts that say more than their status, and what we say then. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [
    /invalid (role|secret) ?(or secret )?id|failed to validate/i,
    "the role id is wrong, or the secret id is wrong, has expired or is used up: issue a new secret id",
  ],
  [/missing (role_id|secret_id)/i, "role id or secret id is missing: look at what its source holds"],
  [/missing (role|jwt)/i, "role or JWT is missing: look at what its source holds"],
  [/role .*could not be found|invalid role name/i, "there is no role of this name: check role and mount"],
  [/audience/i, "the audience of the JWT is not one that the role is bound to: ask for the right one"],
  [
    /service account name not authorized|namespace not authorized/i,
    "the role is not bound to this service account and namespace: bind it",
  ],
  [
    /error validating (token|claims)/i,
    "the JWT has expired, or its signature or claims are not those that the role wants",
  ],
  [/CIDR|source address/i, "the role may not be used from this address: correct its CIDR list"],
  [
    /permission denied/i,
    "its proof is not accepted, or there is no such login: check mount, role, and the token's signer",
  ],
  [/lock/i, "it is locked out after too many failures: wait for the lock to end"],
];

const MOUNT_ADVICE: Readonly<Record<number, string>> = {
  404: "there is nothing at this mount: check mount and namespace",
};
