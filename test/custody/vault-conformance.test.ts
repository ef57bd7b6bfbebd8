import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CredentialEntry } from "../../src/core/credential.ts";
import type { VaultLogin, VaultServer, VaultSourceSpec } from "../../src/core/vault.ts";
import { realClock } from "./support/clocks.ts";
import { requestOf } from "./support/permits.ts";
import { secretOf } from "./support/secret-of.ts";
import { kvEntry, type VaultBench, vaultIssuing } from "./support/vault-bench.ts";
import { conformanceServer, type Raw, type Subject } from "./support/vault-subject.ts";

/**
 * What custody relies on in a Vault, said once: against the fake server of these tests, and against a real one when
 * `CUSTODY_TEST_ADDR` and `CUSTODY_TEST_TOKEN` (a root token of a server that may be filled with tests) are set; docs/vault.md
 * says how. The first part pins the bare answers, the second what custody makes of them.
 */

const SECRET = `sk-${randomBytes(12).toString("hex")}`;

let subject: Subject;
beforeAll(async () => {
  subject = await conformanceServer();
  await subject.write("app", { api_key: SECRET });
});
afterAll(() => subject.close());

describe("golden answers", () => {
  const bare = (method: string, path: string, raw?: Partial<Raw>) => subject.raw(method, path, raw);

  test("AppRole with a wrong secret id", async () => {
    const body = { role_id: subject.roleId, secret_id: "wrong" };
    const { status, json } = await bare("POST", `auth/${subject.approle}/login`, { body });
    expect([status, json["errors"]]).toEqual([400, ["invalid role or secret ID"]]);
  });

  test("AppRole with the right one", async () => {
    const body = { role_id: subject.roleId, secret_id: await subject.newSecretId() };
    const { status, json } = await bare("POST", `auth/${subject.approle}/login`, { body });
    expect(status).toBe(200);
    expect(json["auth"]).toMatchObject({
      client_token: expect.stringMatching(/^[!-~]+$/) as string,
      accessor: expect.any(String) as string,
      lease_duration: 60,
      renewable: true,
      token_type: "service",
      num_uses: 0,
    });
  });

  test("a wrapping token, looked at without any other, unwrapped once and then again", async () => {
    const token = await subject.wrappedSecretId();
    const looked = await bare("POST", "sys/wrapping/lookup", { body: { token } });
    expect(looked.status).toBe(200);
    const creation_path = `auth/${subject.approle}/role/${subject.role}/secret-id`;
    expect(looked.json["data"]).toMatchObject({ creation_path });
    const first = await bare("POST", "sys/wrapping/unwrap", { token });
    expect(first.json["data"]).toMatchObject({ secret_id: expect.any(String) as string });
    const second = await bare("POST", "sys/wrapping/unwrap", { token });
    expect([second.status, second.json["errors"]]).toEqual([400, ["wrapping token is not valid or does not exist"]]);
    const lookedAgain = await bare("POST", "sys/wrapping/lookup", { body: { token } });
    expect(lookedAgain.status).toBe(400);
  });

  test("a key that was never written, and one that is deleted, and one that is destroyed", async () => {
    const token = await subject.login();
    const never = await bare("GET", `${subject.kv}/data/never`, { token });
    expect([never.status, never.json]).toMatchObject([404, { errors: [] }]);
    await subject.write("gone", { api_key: SECRET });
    await subject.remove("gone", "delete");
    const deleted = await bare("GET", `${subject.kv}/data/gone`, { token });
    expect(deleted).toMatchObject({
      status: 404,
      json: { data: { data: null, metadata: { version: 1, destroyed: false } } },
    });
    await subject.remove("gone", "destroy");
    const destroyed = await bare("GET", `${subject.kv}/data/gone`, { token });
    expect(destroyed).toMatchObject({ status: 404, json: { data: { data: null, metadata: { destroyed: true } } } });
  });

  test("a path that no policy allows, and a token that nobody knows", async () => {
    const token = await subject.login();
    const forbidden = await bare("GET", "sys/mounts", { token });
    expect(forbidden.status).toBe(403);
    expect(JSON.stringify(forbidden.json["errors"])).toMatch(/^\["1 error occurred:.*permission denied/);
    const unknown = await bare("GET", "auth/token/lookup-self", { token: "hvs.nobody" });
    expect(unknown.status).toBe(403);
  });

  test("a token that looks at itself, renews itself and ends itself", async () => {
    const token = await subject.login();
    const looked = await bare("GET", "auth/token/lookup-self", { token });
    expect(looked.json["data"]).toMatchObject({ num_uses: 0, renewable: true, type: "service" });
    const renewed = await bare("POST", "auth/token/renew-self", { token, body: {} });
    expect(renewed.json["auth"]).toMatchObject({ client_token: token, lease_duration: 60, renewable: true });
    expect((await bare("POST", "auth/token/revoke-self", { token, body: {} })).status).toBe(204);
    expect((await bare("GET", "auth/token/lookup-self", { token })).status).toBe(403);
  });

  test("a lease that nobody knows", async () => {
    const token = await subject.login();
    const body = { lease_id: "database/creds/ro/none" };
    const { status, json } = await bare("POST", "sys/leases/renew", { token, body });
    expect([status, json["errors"]]).toEqual([400, ["lease not found"]]);
  });

  test("health, without a token", async () => {
    const { status, json } = await bare("GET", "sys/health?standbyok=true&perfstandbyok=true");
    expect([status, json["sealed"], json["initialized"]]).toEqual([200, false, true]);
  });
});

describe("custody", () => {
  const open: VaultBench[] = [];
  afterAll(async () => {
    for (const { vaults, issuer } of open) {
      await vaults.close();
      issuer.close();
    }
  });

  function bench(
    login: Partial<VaultLogin & { by: "approle" }>,
    source: Partial<VaultSourceSpec>,
    proof: string,
  ): VaultBench {
    const approle: VaultLogin = {
      by: "approle",
      mount: subject.approle,
      roleId: subject.roleId,
      secretId: { from: "env", variable: "PROOF" },
      isWrapped: false,
      ...login,
    };
    return benchOf(approle, source, proof);
  }

  function benchOf(
    login: VaultLogin,
    source: Partial<VaultSourceSpec>,
    proof: string,
    change: Partial<CredentialEntry> = {},
  ): VaultBench {
    const server: VaultServer = { ...subject.server, login };
    const entry = kvEntry(server, { mount: subject.kv, path: "app", ...source }, change);
    const made = vaultIssuing([entry], { PROOF: proof }, { clock: realClock });
    open.push(made);
    return made;
  }

  const lease = ({ issuer }: VaultBench) =>
    issuer.issue({ name: "t", tenants: null }, requestOf({ purpose: "rejected" }), new AbortController().signal);
  const read = async (made: VaultBench) => secretOf((await lease(made)).material).reveal();

  test("leases what a secret id, wrapped or not, gives access to", async () => {
    expect(await read(bench({}, {}, await subject.newSecretId()))).toBe(SECRET);
    const wrapped = bench({ isWrapped: true }, {}, await subject.wrappedSecretId());
    expect(await read(wrapped)).toBe(SECRET);
    expect(await read(wrapped)).toBe(SECRET);
  });

  test("leases a pinned version, and none that is not there", async () => {
    await subject.write("versions", { api_key: "first" });
    await subject.write("versions", { api_key: "second" });
    const proof = await subject.newSecretId();
    expect(await read(bench({}, { path: "versions" }, proof))).toBe("second");
    expect(await read(bench({}, { path: "versions", version: 1 }, proof))).toBe("first");
    await expect(lease(bench({}, { path: "versions", version: 7 }, proof))).rejects.toMatchObject({
      detail: expect.stringMatching(/there is nothing, or no version 7/) as string,
    });
  });

  test("tells what is wrong by name", async () => {
    const refusal = (made: VaultBench) => lease(made).then(String, ({ detail }: { detail: string }) => detail);
    expect(await refusal(bench({}, {}, "wrong"))).toMatch(/the role id is wrong, or the secret id is wrong/);
    expect(await refusal(bench({ mount: "none" }, {}, "x"))).toMatch(/refuses the login at auth\/none/);
    const proof = await subject.newSecretId();
    expect(await refusal(bench({}, { mount: "none" }, proof))).toMatch(/permission denied on none\/data\/app/);
    const used = await subject.wrappedSecretId();
    await subject.raw("POST", "sys/wrapping/unwrap", { token: used });
    expect(await refusal(bench({ isWrapped: true }, {}, used))).toMatch(/security event/);
    const token: VaultLogin = { by: "token", isSink: false, token: { from: "env", variable: "PROOF" } };
    expect(await refusal(benchOf(token, {}, subject.rootToken))).toMatch(/policy root/);
  });

  test("logs out at its end", async () => {
    const made = bench({}, {}, await subject.newSecretId());
    await lease(made);
    const before = await subject.accessors();
    await made.vaults.close();
    expect((await subject.accessors()) < before).toBe(true);
  });

  const dynamic = process.env["CUSTODY_TEST_DYNAMIC"] ?? "";
  test.skipIf(dynamic === "" && process.env["CUSTODY_TEST_ADDR"] !== undefined)(
    "has a dynamic credential made, and gives it back with its login",
    async () => {
      const [mount = "", ...path] = (dynamic === "" ? "database/creds/ro" : dynamic).split("/");
      const approle = { engine: "dynamic", mount, path: path.join("/"), field: null } as const;
      const login: VaultLogin = {
        by: "approle",
        mount: subject.approle,
        roleId: subject.roleId,
        secretId: { from: "env", variable: "PROOF" },
        isWrapped: false,
      };
      const made = benchOf(login, approle, await subject.newSecretId(), { kind: "userpass" });
      const { material, ttlMs } = await lease(made);
      expect(material.kind).toBe("userpass");
      expect(ttlMs).toBeGreaterThan(1_000);
    },
  );
});
