import { randomBytes } from "node:crypto";
import type { VaultServer } from "../../../src/core/vault.ts";
import { realClock } from "./clocks.ts";
import { FakeVault } from "./fake-vault.ts";
import { appRoleOf, READER, serverOf } from "./vault-bench.ts";

/** What the conformance test runs against: the fake server, or a real one that is made ready over its own API. */
export interface Subject {
  readonly server: VaultServer;
  readonly rootToken: string;
  /** Mount of AppRole, the role, and its id. */
  readonly approle: string;
  readonly role: string;
  readonly roleId: string;
  /** Mount of KV 2. */
  readonly kv: string;
  raw(method: string, path: string, raw?: Partial<Raw>): Promise<Answer>;
  newSecretId(): Promise<string>;
  wrappedSecretId(): Promise<string>;
  /** A token of the role. */
  login(): Promise<string>;
  write(path: string, data: Record<string, unknown>): Promise<void>;
  remove(path: string, how: "delete" | "destroy"): Promise<void>;
  /** How many tokens there are. */
  accessors(): Promise<number>;
  close(): Promise<void>;
}

export interface Raw {
  readonly token: string;
  readonly body: Record<string, unknown>;
  readonly wrapTtl: string;
}

export interface Answer {
  readonly status: number;
  readonly json: Record<string, unknown>;
}

export function conformanceServer(): Promise<Subject> {
  const address = process.env["CUSTODY_TEST_ADDR"];
  return address === undefined ? fakeSubject() : realSubject(new URL(address), process.env["CUSTODY_TEST_TOKEN"] ?? "");
}

async function fakeSubject(): Promise<Subject> {
  const fake = await new FakeVault(realClock).listen();
  const { role } = appRoleOf(fake, { ttlMs: 60_000 });
  fake.store.makers.set("database/creds/ro", {
    make: (nth) => ({ username: `v-${nth}`, password: "pw" }),
    ttlMs: 60_000,
    maxMs: 60_000,
    renewable: true,
    hasLease: true,
  });
  const raw = rawOn(`http://127.0.0.1:${fake.port}`);
  const wrapped = () =>
    fake.store.wrap("auth/approle/role/edge/secret-id", 60_000, { secret_id: fake.store.newSecretId(role) });
  const subject = {
    server: serverOf(fake),
    rootToken: fake.store.issue({ policies: ["root"], ttlMs: 0 }).id,
    approle: "approle",
    role: "edge",
    roleId: role.roleId,
    kv: "kv",
    raw,
    newSecretId: async () => fake.store.newSecretId(role),
    wrappedSecretId: async () => wrapped(),
    login: () => loginOf(subject),
    write: async (path: string, data: Record<string, unknown>) => void fake.store.write(`kv/${path}`, data),
    remove: async (path: string, how: "delete" | "destroy") => {
      for (const version of fake.store.kv2.get(`kv/${path}`) ?? []) {
        version.deletionMs ??= realClock.wallMs();
        version.destroyed = how === "destroy";
      }
    },
    accessors: async () => fake.store.tokens.size,
    close: () => fake.stop(),
  };
  return subject;
}

/** Mounts and a role of their own, so that runs do not meet; removed at the end. */
async function realSubject(address: URL, rootToken: string): Promise<Subject> {
  const raw = rawOn(address.origin);
  const tag = `postern-${randomBytes(4).toString("hex")}`;
  const admin = async (method: string, path: string, more: Partial<Raw> = {}): Promise<Record<string, unknown>> => {
    const { status, json } = await raw(method, path, { token: rootToken, ...more });
    if (status >= 300) throw new Error(`${method} ${path}: status ${status}: ${JSON.stringify(json)}`);
    return json;
  };
  const inData = (json: Record<string, unknown>, name: string) =>
    String((json["data"] as Record<string, unknown>)[name]);
  const role = `auth/${tag}/role/edge`;
  const dynamic = process.env["CUSTODY_TEST_DYNAMIC"] ?? "database/creds/ro";
  const rules = { ...READER, [`${tag}-kv/*`]: ["read"], [dynamic]: ["read"] };
  const policy = Object.entries(rules).map(([path, can]) => `path "${path}" { capabilities = ${JSON.stringify(can)} }`);
  await admin("POST", `sys/policies/acl/${tag}`, { body: { policy: policy.join("\n") } });
  await admin("POST", `sys/auth/${tag}`, { body: { type: "approle" } });
  await admin("POST", role, { body: { token_ttl: 60, token_max_ttl: 3600, token_policies: [tag] } });
  await admin("POST", `sys/mounts/${tag}-kv`, { body: { type: "kv", options: { version: "2" } } });
  await untilReady(() => raw("POST", `${tag}-kv/data/ready`, { token: rootToken, body: { data: { ready: "yes" } } }));
  const subject: Subject = {
    server: {
      name: "real",
      address: {
        kind: address.protocol === "https:" ? "https" : "http",
        host: address.hostname,
        port: Number(address.port === "" ? 8200 : address.port),
      },
      namespace: null,
      ca: null,
      serverName: address.hostname,
      login: { by: "token", isSink: false, token: { from: "env", variable: "PROOF" } },
      timeoutMs: 10_000,
    },
    rootToken,
    approle: tag,
    role: "edge",
    roleId: inData(await admin("GET", `${role}/role-id`), "role_id"),
    kv: `${tag}-kv`,
    raw,
    newSecretId: async () => inData(await admin("POST", `${role}/secret-id`, { body: {} }), "secret_id"),
    wrappedSecretId: async () => {
      const { wrap_info } = await admin("POST", `${role}/secret-id`, { body: {}, wrapTtl: "60s" });
      return String((wrap_info as Record<string, unknown>)["token"]);
    },
    login: () => loginOf(subject),
    write: async (path, data) => void (await admin("POST", `${tag}-kv/data/${path}`, { body: { data } })),
    remove: async (path, how) => {
      const body = { versions: [1] };
      await admin("POST", `${tag}-kv/${how}/${path}`, { body });
    },
    accessors: async () => {
      const json = await admin("GET", "auth/token/accessors?list=true");
      return ((json["data"] as Record<string, unknown>)["keys"] as unknown[]).length;
    },
    close: async () => {
      await admin("DELETE", `sys/auth/${tag}`);
      await admin("DELETE", `sys/mounts/${tag}-kv`);
      await admin("DELETE", `sys/policies/acl/${tag}`);
    },
  };
  return subject;
}

async function loginOf(subject: Subject): Promise<string> {
  const body = { role_id: subject.roleId, secret_id: await subject.newSecretId() };
  const { json } = await subject.raw("POST", `auth/${subject.approle}/login`, { body });
  return String((json["auth"] as Record<string, unknown>)["client_token"]);
}

/** A new KV 2 mount upgrades itself for a moment. */
async function untilReady(ask: () => Promise<Answer>): Promise<void> {
  for (let tries = 0; (await ask()).status !== 200; tries++) {
    if (tries > 100) throw new Error("the new mount does not get ready");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function rawOn(origin: string): Subject["raw"] {
  return async (method, path, { token, body, wrapTtl } = {}) => {
    const response = await fetch(`${origin}/v1/${path}`, {
      method,
      redirect: "manual",
      headers: {
        "x-vault-request": "true",
        ...(token === undefined ? {} : { "x-vault-token": token }),
        ...(wrapTtl === undefined ? {} : { "x-vault-wrap-ttl": wrapTtl }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, json: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>) };
  };
}
