import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import { authOf, authOfLookup, type Json } from "../../src/custody/vault/answer.ts";
import { faultOfStatus, VaultFault } from "../../src/custody/vault/fault.ts";
import { rootIn } from "../../src/custody/vault/root.ts";

/** Whatever a server answers, custody makes something of it or says by name that it cannot; never with a text of the server in it. */

const MARK = "quoted-by-the-server";
const value = fc.oneof(fc.jsonValue(), fc.constant(MARK), fc.constant([MARK]), fc.constant({ [MARK]: MARK }));
const object = (...names: string[]) =>
  fc.record(Object.fromEntries(names.map((name) => [name, value])), { requiredKeys: [] }) as fc.Arbitrary<Json>;

/** Runs it; what is thrown is a fault without the mark. */
function faultless<T>(work: () => T, onValue: (value: T) => void): void {
  try {
    onValue(work());
  } catch (thrown) {
    if (!(thrown instanceof VaultFault)) throw thrown;
    expect(thrown.message).not.toContain(MARK);
    expect(thrown.message).toMatch(/: [a-z]/);
  }
}

const AUTH = ["client_token", "accessor", "policies", "lease_duration", "renewable", "token_type", "num_uses"];

describe("answers of any kind", () => {
  test("to a login", () => {
    fc.assert(
      fc.property(fc.oneof(value, object(...AUTH, "mfa_requirement")), (auth) => {
        faultless(
          () => authOf({ auth }, 'vault "a"'),
          ({ token, ttlSeconds, uses, policies }) => {
            expect(token.reveal()).toMatch(/^[!-~]+$/);
            expect(Number.isSafeInteger(ttlSeconds) && ttlSeconds >= 0).toBe(true);
            expect(Number.isSafeInteger(uses) && uses >= 0).toBe(true);
            expect(policies.every((policy) => typeof policy === "string")).toBe(true);
          },
        );
      }),
    );
  });

  test("to a look at a token", () => {
    fc.assert(
      fc.property(object("accessor", "policies", "ttl", "renewable", "type", "num_uses", "expire_time"), (data) => {
        faultless(
          () => authOfLookup({ data }, Secret.of("t"), 'vault "a"'),
          ({ ttlSeconds }) => expect(ttlSeconds).toBeGreaterThanOrEqual(0),
        );
      }),
    );
  });

  test("to a read: a root is a text, and nothing else", () => {
    const kinds = fc.constantFrom("token", "userpass", "header", "aws", "signing_key", "client_certificate", "dpop");
    const field = fc.constantFrom(null, "token", "password", "__proto__", "constructor", "toString");
    const names = ["token", "username", "password", "access_key", "certificate", "private_key", "__proto__"];
    fc.assert(
      fc.property(object(...names), kinds, field, (data, kind, name) => {
        faultless(
          () => rootIn(data, kind as "token", name, 'vault "a", kv/a'),
          ({ secret, username }) => {
            expect(typeof secret.reveal()).toBe("string");
            expect(username === null || typeof username === "string").toBe(true);
          },
        );
      }),
    );
  });

  test("with any status", () => {
    for (let status = 100; status < 600; status++) {
      const fault = faultOfStatus(status, 'vault "a"');
      expect([status, fault === null]).toEqual([status, [200, 202, 204, 400, 403, 404].includes(status)]);
      if (fault !== null) expect(fault.message).toMatch(new RegExp(`^vault "a" .*status ${status}.*: `));
    }
  });
});
