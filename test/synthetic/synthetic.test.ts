import { describe, expect, test } from "vitest";
import type { SyntheticSpec } from "../../src/core/destination.ts";
import type { Ask } from "../../src/core/exchange.ts";
import { Fields } from "../../src/core/fields.ts";
import type { SyntheticAnswer } from "../../src/core/ports.ts";
import { createSyntheticPort } from "../../src/synthetic/synthetic.ts";
import { destination, headOf, permitFor } from "../attach/exchange.ts";

/** Token endpoints that the edge answers itself. */

const NOW = "2030-01-02T03:04:05Z";
const port = createSyntheticPort({ wallMs: () => Date.parse(NOW), newId: () => "request-1" });
const FORM = "application/x-www-form-urlencoded";

function ask(
  spec: SyntheticSpec,
  asked: { method?: string; target?: string; type?: string; body?: string },
): SyntheticAnswer {
  const { method = "POST", target = "/token", type = FORM, body = "" } = asked;
  const permit = permitFor(destination([], { credential: null, synthetic: spec }));
  const { fields } = headOf([["Content-Type", type]]);
  const request: Ask = { method, target, fields, scheme: "https", authority: permit.authority };
  return port.answer(permit, request, Buffer.from(body));
}

const jsonOf = ({ body }: SyntheticAnswer): unknown => JSON.parse(body.toString());
const TOKEN = "ya29.postern-guest-token";
const oauth2: SyntheticSpec = { as: "oauth2_token", token: TOKEN, expiresInSeconds: 600 };

describe("oauth2_token", () => {
  test.each([
    ["client_credentials", "client_id=any&client_secret=thing"],
    ["refresh_token", "refresh_token=anything"],
    ["password", "username=a&password=b"],
    ["urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion=a.b.c"],
  ])("%s: the stand-in, never to be stored", (grant, more) => {
    const answer = ask(oauth2, { body: `grant_type=${encodeURIComponent(grant)}&${more}&scope=a%20b` });
    expect(answer.status).toBe(200);
    expect(answer.fields).toContainEqual(["Cache-Control", "no-store"]);
    expect(jsonOf(answer)).toEqual({ access_token: TOKEN, token_type: "Bearer", expires_in: 600, scope: "a b" });
  });

  test("more parameters than any request has read as none", () => {
    const body = (more: number): string => `grant_type=password${"&a=1".repeat(more)}`;
    expect(ask(oauth2, { body: body(99) }).status).toBe(200);
    expect(jsonOf(ask(oauth2, { body: body(100) }))).toEqual({ error: "invalid_request" });
  });

  test("token exchange names the type of what it gives (RFC 8693 §2.2.1)", () => {
    const grant = "urn:ietf:params:oauth:grant-type:token-exchange";
    expect(jsonOf(ask(oauth2, { body: `grant_type=${grant}&subject_token=x` }))).toMatchObject({
      issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
    });
  });

  test.each([
    ["a grant that needs a browser", { body: "grant_type=authorization_code&code=x" }, "unsupported_grant_type"],
    ["no grant", { body: "scope=a" }, "invalid_request"],
    ["a parameter twice (RFC 6749 §3.2)", { body: "grant_type=password&grant_type=password" }, "invalid_request"],
    ["no form", { body: '{"grant_type":"password"}', type: "application/json" }, "invalid_request"],
    ["nothing", {}, "invalid_request"],
  ])("%s: the error of RFC 6749 §5.2", (_name, asked, error) => {
    const answer = ask(oauth2, asked);
    expect(answer.status).toBe(400);
    expect(jsonOf(answer)).toEqual({ error });
  });

  test("another method", () => {
    expect(ask(oauth2, { method: "GET" })).toMatchObject({ status: 405, fields: [["Allow", "POST"]] });
  });
});

describe("registry_token", () => {
  const registry: SyntheticSpec = { as: "registry_token", token: TOKEN, expiresInSeconds: 60 };

  test.each(["GET", "POST"])("%s", (method) => {
    const answer = ask(registry, { method, target: "/token?service=r&scope=repository:a:pull" });
    expect(jsonOf(answer)).toEqual({
      token: TOKEN,
      access_token: TOKEN,
      token_type: "Bearer",
      expires_in: 60,
      issued_at: "2030-01-02T03:04:05.000Z",
    });
  });
});

test("github_installation_token", () => {
  const answer = ask(
    { as: "github_installation_token", token: TOKEN, expiresInSeconds: 3600 },
    { type: "application/json" },
  );
  expect(answer.status).toBe(201);
  expect(jsonOf(answer)).toMatchObject({ token: TOKEN, expires_at: "2030-01-02T04:04:05Z" });
});

describe("aws_sts", () => {
  const sts: SyntheticSpec = {
    as: "aws_sts",
    accessKeyId: "ASIAPOSTERNGUEST0001",
    secretAccessKey: "postern-guest-secret",
    sessionToken: "postern-guest-session",
    expiresInSeconds: 900,
  };

  test.each(["AssumeRole", "AssumeRoleWithWebIdentity", "GetSessionToken"])("%s hands out stand-ins", (action) => {
    const answer = ask(sts, { body: `Action=${action}&Version=2011-06-15&RoleArn=arn` });
    const text = answer.body.toString();
    expect(answer.status).toBe(200);
    expect(text).toContain(`<${action}Result><Credentials><AccessKeyId>ASIAPOSTERNGUEST0001</AccessKeyId>`);
    expect(text).toContain("<Expiration>2030-01-02T03:19:05Z</Expiration>");
    expect(text).toContain("<RequestId>request-1</RequestId>");
    expect(text.includes("<AssumedRoleUser>")).toBe(action !== "GetSessionToken");
  });

  test("in the query as well", () => {
    const answer = ask(sts, { method: "GET", target: "/?Action=GetCallerIdentity&Version=2011-06-15" });
    expect(answer.body.toString()).toContain("<Account>000000000000</Account>");
  });

  test.each([
    ["an action that is not answered", "Action=DecodeAuthorizationMessage", "InvalidAction"],
    ["none", "Version=2011-06-15", "MissingAction"],
  ])("%s", (_name, body, code) => {
    const answer = ask(sts, { body });
    expect(answer.status).toBe(400);
    expect(answer.body.toString()).toContain(`<Code>${code}</Code>`);
  });

  test("nothing of a request stands in an answer", () => {
    const evil = encodeURIComponent("</x><script>");
    for (const body of [`Action=${evil}`, `Action=AssumeRole&RoleSessionName=${evil}&RoleArn=${evil}`])
      expect(ask(sts, { body }).body.toString()).not.toContain("<script>");
  });
});

test("a destination with an upstream is none of its business", () => {
  const permit = permitFor(destination([{ as: "bearer" }]));
  const request: Ask = {
    method: "POST",
    target: "/",
    fields: Fields.of([]),
    scheme: "https",
    authority: permit.authority,
  };
  expect(() => port.answer(permit, request, Buffer.alloc(0))).toThrow(TypeError);
});
