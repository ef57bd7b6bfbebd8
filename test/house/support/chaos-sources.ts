import { randomBytes } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DpopKey } from "../../../src/custody/minters/dpop-key.ts";
import { realClock } from "../../custody/support/clocks.ts";
import { FakeVault } from "../../custody/support/fake-vault.ts";
import type { AppRole, FakeLease } from "../../custody/support/fake-vault-store.ts";
import { GithubServer } from "../../custody/support/github-server.ts";
import { keyPair } from "../../custody/support/minting.ts";
import { OAuth2Server } from "../../custody/support/oauth2-server.ts";
import { StsServer } from "../../custody/support/sts-server.ts";
import { READER, ROLE_ID } from "../../custody/support/vault-bench.ts";
import type { TestLeaf } from "./certificates.ts";
import { Gate } from "./gate.ts";
import type { SecretSearch } from "./secret-search.ts";

/** Every place that a credential of the chaos comes from, each behind a gate, and what each has ever given. */

const random = (name: string): string => `${name}-${randomBytes(15).toString("base64url")}`;

export const ROLE = "arn:aws:iam::123456789012:role/agents";
export const ROOT_KEY_ID = "AKIAROOTOFCHAOS00001";
/** Life of what OAuth2 gives and of what the helper prints, `s`: short, so that ends come up again and again. */
export const SHORT_S = 4;
/** The wall clock of the helper's own machine, which nobody sets. */
const HELPER = `#!/bin/sh
token="exec-$(head -c 15 /dev/urandom | od -An -tx1 | tr -d ' \\n')"
end=$(($(date +%s) + ${SHORT_S}))
echo "$end $token" >> "$(dirname "$0")/exec-issued"
printf '{"token":"%s","expires_at":%s}' "$token" "$end"
`;

export interface ChaosSources {
  /** Roots are files here, and files here are roots. */
  readonly directory: string;
  readonly vault: FakeVault;
  readonly role: AppRole;
  readonly refresh: OAuth2Server;
  readonly partner: OAuth2Server;
  readonly sts: StsServer;
  readonly github: GithubServer;
  readonly gates: Readonly<Record<"vault" | "refresh" | "partner" | "sts" | "github", Gate>>;
  readonly kv: string;
  readonly signing: string;
  readonly body: string;
  readonly bound: { readonly token: string; readonly key: DpopKey };
  readonly helper: string;
  readonly at: (name: string) => string;
  /** A new secret id in a new wrapping, as an orchestrator leaves one before each start of custody. */
  readonly wrapSecretId: () => Promise<void>;
  readonly put: (name: string, text: string, mode?: number) => Promise<void>;
  /** Monotonic `ms` at which what a Vault made died: `Infinity` for what is good now, `-Infinity` for what was never made. */
  endOfLogin(username: string, password: string): number;
  /** Whether the helper has printed it, and it is good at this moment. */
  isPrinted(token: string): boolean;
  /** Everything that is secret here. */
  tellAll(search: SecretSearch): void;
  stop(): Promise<void>;
}

export async function startSources(directory: string, client: TestLeaf): Promise<ChaosSources> {
  await mkdir(directory, { mode: 0o700 });
  const at = (name: string): string => join(directory, name);
  const given: [string, string][] = [];
  const secret = (name: string): string => {
    const value = random(name);
    given.push([name, value]);
    return value;
  };
  const put = async (name: string, text: string, mode = 0o600): Promise<void> => {
    const fresh = `${at(name)}.${randomBytes(4).toString("hex")}`;
    await writeFile(fresh, text, { mode });
    await rename(fresh, at(name));
  };

  const vault = await new FakeVault(realClock).listen();
  vault.store.policies.set("reader", READER);
  const role: AppRole = {
    roleId: ROLE_ID,
    terms: { policies: ["default", "reader"], ttlMs: 8_000, maxMs: 3_600_000 },
    secretIds: new Map(),
  };
  vault.store.appRoles.set("approle/edge", role);
  const kv = secret("kv");
  vault.store.write("kv/apps/kv", { api_key: kv });
  const logins = new Map<string, { readonly password: string; lease: FakeLease | null }>();
  vault.store.makers.set("database/creds/ro", {
    make(nth) {
      const login = { username: `v-${nth}`, password: secret("dynamic") };
      logins.set(login.username, { password: login.password, lease: null });
      return login;
    },
    ttlMs: 20_000,
    maxMs: 120_000,
    renewable: true,
    hasLease: true,
  });
  // Which lease a login lives as long as.
  const make = vault.store.make.bind(vault.store);
  vault.store.make = (path, maker, token) => {
    const made = make(path, maker, token);
    const login = logins.get(String(made.data["username"]));
    if (login !== undefined) login.lease = made.lease;
    return made;
  };
  const died = new Map<string, number>();
  const { leases } = vault.store;
  const forget = leases.delete.bind(leases);
  leases.delete = (id) => {
    if (!died.has(id)) died.set(id, performance.now());
    return forget(id);
  };
  const issue = vault.store.issue.bind(vault.store);
  vault.store.issue = (terms) => {
    const token = issue(terms);
    given.push(["vault token", token.id]);
    return token;
  };

  const refresh = await OAuth2Server.start({
    clients: [{ id: "refresher", secret: secret("refresher"), auth: "client_secret_basic", scopes: ["read"] }],
    rotation: "grace",
    expiresInS: SHORT_S,
  });
  const partner = await OAuth2Server.start({
    clients: [{ id: "partner", secret: secret("partner"), auth: "client_secret_post", scopes: ["read"] }],
    expiresInS: SHORT_S,
  });
  const app = keyPair("RS256");
  const github = await new GithubServer({
    clientId: "Iv23li",
    publicKey: app.publicKey,
    installation: "7",
    repositories: ["docs"],
    permissions: { contents: "read" },
  }).listen();
  const rootKey = secret("sts-root");
  const sts = await new StsServer({
    region: "eu-central-1",
    keys: { [ROOT_KEY_ID]: { secret: rootKey } },
    role: ROLE,
  }).listen();
  const portOf = (url: string): number => Number(new URL(url).port);
  const gates = {
    vault: await Gate.to(vault.port),
    refresh: await Gate.to(portOf(refresh.url)),
    partner: await Gate.to(portOf(partner.url)),
    sts: await Gate.to(portOf(sts.origin)),
    github: await Gate.to(portOf(github.origin)),
  };

  const key = DpopKey.generate();
  const bound = { token: secret("bound"), key };
  const storeKey = randomBytes(32).toString("hex");
  const known = (name: string): string => given.find(([of]) => of === name)?.[1] ?? "";
  await put("dpop.json", JSON.stringify({ token: bound.token, private_key: key.pem().reveal() }));
  await put("client.pem", client.certificate + client.key);
  await put("app.pem", app.privateKey);
  await put("sts.json", JSON.stringify({ access_key_id: ROOT_KEY_ID, secret_access_key: rootKey }));
  await put("refresh-seed", refresh.grantRefresh("refresher"));
  await put("refresher-secret", known("refresher"));
  await put("partner-secret", known("partner"));
  await put("body", secret("body"));
  await put("store.key", storeKey);
  await put("helper.sh", HELPER, 0o700);
  appendFileSync(at("exec-issued"), "");
  const printed = (): { readonly endMs: number; readonly token: string }[] =>
    readFileSync(at("exec-issued"), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => ({ endMs: Number(line.split(" ")[0]) * 1000, token: line.split(" ")[1] ?? "" }));

  return {
    directory,
    vault,
    role,
    refresh,
    partner,
    sts,
    github,
    gates,
    kv,
    signing: secret("signing"),
    body: known("body"),
    bound,
    helper: at("helper.sh"),
    at,
    async wrapSecretId() {
      const secretId = vault.store.newSecretId(role);
      const wrapped = vault.store.wrap("auth/approle/role/edge/secret-id", 600_000, { secret_id: secretId });
      given.push(["secret id", secretId], ["wrapped secret id", wrapped]);
      await put("wrapped", wrapped);
    },
    put,
    endOfLogin(username, password) {
      const { lease = null, ...login } = logins.get(username) ?? {};
      if (lease === null || !("password" in login) || login.password !== password) return -Infinity;
      return vault.store.liveLease(lease.id) === null ? (died.get(lease.id) ?? -Infinity) : Infinity;
    },
    isPrinted: (token) => printed().some((one) => one.token === token && Date.now() < one.endMs + LATE_MS),
    tellAll(search) {
      for (const [name, value] of given) search.add(name, value);
      search.add("store key", storeKey);
      search.add("store key, bytes", Buffer.from(storeKey, "hex"));
      search.addPem("app key", app.privateKey);
      search.addPem("client key", client.key);
      search.addPem("dpop key", key.pem().reveal());
      for (const { token } of [...refresh.issued, ...partner.issued]) search.add("access token", token);
      for (const { known: tokens } of refresh.families) for (const token of tokens) search.add("refresh token", token);
      for (const keys of sts.keys) {
        search.add("minted secret key", keys.secretAccessKey);
        search.add("minted session token", keys.sessionToken);
      }
      for (const { secret: token } of github.issued) search.add("installation token", token);
      for (const { token } of printed()) search.add("helper's token", token);
    },
    async stop() {
      await Promise.all(Object.values(gates).map((gate) => gate.kill()));
      await Promise.all([vault.stop(), refresh.stop(), partner.stop(), sts.stop(), github.stop()]);
    },
  };
}

/** How late a request may reach an upstream after the end of its credential: it was sent before. `ms` */
export const LATE_MS = 2_000;
