import { constants } from "node:http2";
import { describe, expect, test } from "vitest";
import { Denial, type DenialCode, DENIAL_CODES } from "../../src/core/denial.ts";
import { grpcStatus } from "../../src/guest/http2/grpc.ts";
import { eventually, TOKEN } from "../line/support/joined.ts";
import { answerOf, ask } from "./support/h2-guest.ts";
import { http2House } from "./support/http2-house.ts";

/** Refusals on a stream: by name, fixed, and in the language of gRPC for its clients. */

const start = http2House();

const GRPC = {
  ":method": "POST",
  ":path": "/pkg.Service/Call",
  "content-type": "application/grpc+proto",
  te: "trailers",
};

const refusing = (code: DenialCode) => ({
  ports: () => ({
    leases: {
      lease: () => Promise.reject(new Denial(code, { cause: `secret cause ${TOKEN}` })),
      fetchAhead: async () => undefined,
      reject: () => false,
    },
  }),
});

describe("a refused request", () => {
  test("gets status, code and correlation id, and the connection stays", async () => {
    const { session, upstream, joined } = await start(() => undefined, refusing("custody_unavailable"));
    const first = await ask(session, { ":path": "/" });
    expect(first).toMatchObject({ status: 503, whole: true, resetCode: 0 });
    expect(first.fields.get("x-deny-reason")).toBe("custody_unavailable");
    expect(first.fields.get("proxy-status")).toContain('details="custody_unavailable"');
    expect(JSON.parse(first.body.toString())).toMatchObject({
      code: "custody_unavailable",
      correlation_id: first.fields.get("x-correlation-id"),
    });
    expect(first.raw.concat(first.body.toString()).join()).not.toContain(TOKEN);
    const head = await ask(session, { ":method": "HEAD", ":path": "/" });
    expect(head).toMatchObject({ status: 503, whole: true });
    expect(head.body.length).toBe(0);
    expect(upstream.received).toEqual([]);
    await eventually(() => joined.records.length === 3, "the records");
    expect(joined.records[1]).toMatchObject({ denial: "custody_unavailable", outcome: "denied", status: 503 });
  });

  test("with a body that still comes is answered whole; the rest is thrown away", async () => {
    const { session, upstream } = await start(() => undefined, refusing("lease_denied"));
    const stream = session.request({ ":method": "POST", ":path": "/" });
    const answer = answerOf(stream);
    stream.write(Buffer.alloc(300_000));
    await new Promise((resolve) => stream.once("response", resolve));
    stream.end(Buffer.alloc(300_000));
    expect(await answer).toMatchObject({ status: 403, whole: true });
    expect(upstream.received).toEqual([]);
  });

  test.each([
    { ":authority": "other.test:443" },
    { ":authority": "api.test:1" },
    { ":scheme": "http" },
    { host: "other.test" },
  ])("for another authority (%o): 421, and the connection stays", async (headers) => {
    const { session, upstream } = await start(() => undefined);
    const answer = await ask(session, { ":path": "/", ...headers });
    expect(answer.status).toBe(421);
    expect(answer.fields.get("x-deny-reason")).toBe("authority_mismatch");
    expect(session.closed).toBe(false);
    expect(upstream.received).toEqual([]);
  });

  test("that expects what nobody knows: 417", async () => {
    const { session, upstream } = await start(() => undefined);
    const answer = await ask(session, { ":path": "/", expect: "200-ok" });
    expect(answer.fields.get("x-deny-reason")).toBe("expectation_unsupported");
    expect(upstream.received).toEqual([]);
  });

  test.each(["no-slash", "*", ""])("with the path %o is no request: its stream is reset", async (path) => {
    const { session, upstream } = await start(() => undefined);
    expect(await ask(session, { ":path": path })).toMatchObject({
      status: 0,
      resetCode: constants.NGHTTP2_PROTOCOL_ERROR,
    });
    expect(session.closed).toBe(false);
    expect(upstream.received).toEqual([]);
  });
});

describe("a refused gRPC call", () => {
  test.each([
    ["lease_denied", "7"],
    ["custody_unavailable", "14"],
    ["session_missing", "16"],
    ["upstream_timeout", "4"],
    ["rate_limited", "8"],
    ["internal", "13"],
  ] as const)("%s is status %s in trailers alone, with the code as metadata", async (code, status) => {
    const { session, upstream } = await start(() => undefined, refusing(code));
    const answer = await ask(session, GRPC, Buffer.from([0, 0, 0, 0, 0]));
    expect(answer).toMatchObject({ status: 200, whole: true });
    expect(answer.body.length).toBe(0);
    expect(answer.trailers.size).toBe(0);
    expect(answer.fields.get("content-type")).toBe("application/grpc");
    expect(answer.fields.get("grpc-status")).toBe(status);
    expect(answer.fields.get("grpc-message")).toMatch(/^[A-Z][^%]*\.$/);
    expect(answer.fields.get("x-deny-reason")).toBe(code);
    expect(answer.fields.get("x-correlation-id")).toMatch(/^id-/);
    expect(answer.raw.join()).not.toContain(TOKEN);
    expect(upstream.received).toEqual([]);
  });

  test("grpc-web is HTTP to its clients: they get the HTTP answer", async () => {
    const { session } = await start(() => undefined, refusing("lease_denied"));
    expect(await ask(session, { ...GRPC, "content-type": "application/grpc-web+proto" }, "x")).toMatchObject({
      status: 403,
    });
  });

  test("every denial has a gRPC status that is an error", () => {
    for (const code of DENIAL_CODES) {
      const status = grpcStatus(new Denial(code));
      expect(status).toBeGreaterThan(2);
      expect(status).toBeLessThanOrEqual(16);
    }
  });
});
