import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Authority } from "../../src/core/authority.ts";
import type { Clock } from "../../src/core/clock.ts";
import { CertificateAuthority } from "../../src/tls/certificate-authority.ts";
import { createCa, type NewCa, type NewCaOptions } from "../../src/tls/create-ca.ts";
import { LeafCache } from "../../src/tls/leaf-cache.ts";
import { type LeafIssuer, LeafMinter } from "../../src/tls/leaf-minter.ts";
import { parsePermitted } from "../../src/tls/name-constraints.ts";
import { NameLimits } from "../../src/tls/name-limits.ts";
import { DAY_MS, makeCertificate, type Shape } from "./make-certificate.ts";
import { type Question, type Verifier, VERIFIERS } from "./verifiers.ts";

// Real clients look at the real clock.
const clock: Clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };
const scratch = mkdtempSync(join(tmpdir(), "postern-leaf-"));
const servers: net.Server[] = [];
const sockets = new Set<net.Socket>();

const HOSTS = [
  "api.example.test",
  "under_score.example.test",
  `${"a".repeat(60)}.${"b".repeat(26)}.example.test`, // 100 characters
  "10.1.2.3",
  "2001:db8::7",
];

const permitted = ["example.test", "10.0.0.0/8", "2001:db8::/32"].map(parsePermitted);

/** Each client is started once and asked everything: what must pass and what must not. */
const groups = new Map<string, readonly Question[]>();
const answered = new Map<Verifier, Promise<ReadonlyMap<string, readonly string[]>>>();

const KINDS = [...foreign(), ...own()];
const OUTSIDE = ["api.example.com", "notexample.test", "192.0.2.7", "2001:db9::7"];

beforeAll(async () => {
  for (const [name, ca] of KINDS) groups.set(name, await ask(name, ca, HOSTS));
  const [[, ca]] = KINDS as [[string, CertificateAuthority]];
  groups.set("RSA leaf", await ask("rsa-leaf", ca, HOSTS, "rsa"));
  const [question] = groups.get("EC P-256") as [Question];
  groups.set("another name", [{ ...question, host: "other.example.test" }]);
  const anchor = join(scratch, "impostor.pem");
  writeFileSync(anchor, makeCertificate({ ...real(), name: "EC P-256" }).pem);
  groups.set("another CA of the same name", [{ ...question, anchor }]);
  const underRoot = createCa({ ...options("constrained"), permitted, intermediate: true });
  const alone = createCa({ ...options("constrained alone"), permitted });
  groups.set("outside, under a root", await ask("outside-root", careless(loadMade(underRoot)), OUTSIDE));
  groups.set("outside, as the anchor", await ask("outside", careless(loadMade(alone)), OUTSIDE));
});

for (const verifier of VERIFIERS) {
  const name = verifier.isPresent ? verifier.name : `${verifier.name} (SKIPPED: not on this machine)`;
  describe.skipIf(!verifier.isPresent)(name, () => {
    test.each([...KINDS.map(([kind]) => kind), "RSA leaf"])("accepts %s", async (group) => {
      const answers = (await answersOf(verifier)).get(group);
      const expected = HOSTS.map((host) => (verifier.refusesByItself?.test(host) === true ? expect.any(String) : "ok"));
      expect(answers).toEqual(expected);
    });

    test.each(["another name", "another CA of the same name"])("refuses %s", async (group) => {
      expect((await answersOf(verifier)).get(group)).toEqual([expect.not.stringMatching(/^ok$/)]);
    });

    test("is bound by the name constraints of a CA under a root", async () => {
      const answers = (await answersOf(verifier)).get("outside, under a root");
      expect(answers?.map((answer) => answer === "ok")).toEqual(OUTSIDE.map(() => false));
    });

    // RFC 5280 §6.1.1 leaves constraints of a trust anchor to the verifier, and JSSE ignores them.
    const binds = verifier.name !== "Java JSSE";
    test(`is ${binds ? "" : "not "}bound by the name constraints of the anchor itself`, async () => {
      const answers = (await answersOf(verifier)).get("outside, as the anchor");
      expect(answers?.map((answer) => answer === "ok")).toEqual(OUTSIDE.map(() => !binds));
    });
  });
}

test("a kind of name of which nothing is permitted is excluded as a whole", async () => {
  const names = createCa({ ...options("names only"), permitted: [parsePermitted("example.test")] });
  const blocks = createCa({ ...options("blocks only"), permitted: [parsePermitted("10.0.0.0/8")] });
  const some = ["api.example.test", "10.1.2.3", "2001:db8::7"];
  const questions = [
    ...(await ask("names", careless(loadMade(names)), some)),
    ...(await ask("blocks", careless(loadMade(blocks)), some)),
  ];
  const answers = await VERIFIERS[0]?.ask(questions, scratch);
  expect(answers?.map((answer) => answer === "ok")).toEqual([true, false, false, false, true, false]);
});

function answersOf(verifier: Verifier): Promise<ReadonlyMap<string, readonly string[]>> {
  const running = answered.get(verifier) ?? askAll(verifier);
  answered.set(verifier, running);
  return running;
}

async function askAll(verifier: Verifier): Promise<ReadonlyMap<string, readonly string[]>> {
  const answers = await verifier.ask([...groups.values()].flat(), scratch);
  return new Map([...groups].map(([name, questions]) => [name, answers.splice(0, questions.length)]));
}

afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  rmSync(scratch, { recursive: true, force: true });
});

function real(): Shape {
  return { notBeforeMs: Date.now() - DAY_MS, notAfterMs: Date.now() + 300 * DAY_MS };
}

/** CAs as a customer brings them. */
function foreign(): [string, CertificateAuthority][] {
  const kinds = [
    ["EC P-256", "p256"],
    ["EC P-384", "p384"],
    ["RSA-2048", "rsa2048"],
  ] as const;
  const lone = kinds.map(([name, key]): [string, CertificateAuthority] => {
    const made = makeCertificate({ ...real(), name, key });
    return [name, load(made.pem, made.keyPem)];
  });
  const root = makeCertificate({ ...real(), name: "RSA root", key: "rsa2048" });
  const middle = makeCertificate({ ...real(), name: "middle", key: "p384", issuer: root });
  const issuing = makeCertificate({ ...real(), name: "issuing", issuer: middle, basicConstraints: { pathLength: 0 } });
  return [...lone, ["two intermediates", load(issuing.pem + middle.pem + root.pem, issuing.keyPem)]];
}

function options(name: string): NewCaOptions {
  const fixed = { key: "ec", days: 30, permitted: [], intermediate: false, passphrase: null } as const;
  return { ...fixed, name, nowMs: Date.now(), randomBytes };
}

/** CAs as `postern ca init` makes them. */
function own(): [string, CertificateAuthority][] {
  const made: [string, Partial<NewCaOptions>][] = [
    ["own EC", {}],
    ["own RSA", { key: "rsa" }],
    ["own, name-constrained", { permitted }],
    ["own, name-constrained under a root", { permitted, intermediate: true }],
  ];
  return made.map(([name, some]) => {
    const ca = createCa({ ...options(name), ...some });
    return [name, loadMade(ca)];
  });
}

function loadMade(ca: NewCa): CertificateAuthority {
  return load(ca.certificatesPem, ca.keyPem.reveal());
}

function load(certificates: string, key: string): CertificateAuthority {
  return CertificateAuthority.fromPem(
    { certificates, certificateName: "ca.crt", key, keyName: "ca.key", passphrase: null },
    Date.now(),
  );
}

/** The CA without the sense to keep to its own limits: what the clients then see is up to them. */
function careless(ca: CertificateAuthority): TestIssuer {
  const { subject, issuerName, keyIdentifier, chainPem, anchorPem, notBeforeMs, notAfterMs, signatureIdentifier } = ca;
  const parts = {
    subject,
    issuerName,
    keyIdentifier,
    chainPem,
    anchorPem,
    notBeforeMs,
    notAfterMs,
    signatureIdentifier,
  };
  return { ...parts, limits: NameLimits.read([]), sign: (tbs) => ca.sign(tbs) };
}

type TestIssuer = LeafIssuer & { readonly anchorPem: string };

async function ask(
  file: string,
  ca: TestIssuer,
  hosts: readonly string[],
  leafKey: "ec" | "rsa" = "ec",
): Promise<Question[]> {
  const anchor = join(scratch, `${file.replaceAll(/\W+/g, "-")}.pem`);
  writeFileSync(anchor, ca.anchorPem);
  const minter = new LeafMinter({ ca, leafKey, lifetimeMs: DAY_MS, clock, randomBytes });
  const cache = new LeafCache({ minter, entries: 100, clock });
  return Promise.all(hosts.map(async (host) => ({ host, port: await serve(cache, host), anchor })));
}

async function serve(cache: LeafCache, host: string): Promise<number> {
  const authority = Authority.parse(host.includes(":") ? `[${host}]` : host, 443);
  if (authority === null) throw new Error(`not an authority: ${host}`);
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    const secure = new TLSSocket(socket, { isServer: true, secureContext: cache.contextFor(authority) });
    // A client that refuses the leaf breaks the handshake off: that is the client's answer, not a fault of the server.
    secure.on("error", () => socket.destroy());
    secure.on("data", () => secure.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}
