import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { connect as connectTls } from "node:tls";
import { once } from "node:events";
import { denialIn, openGuest, openTunnel, type RawGuest } from "../hostile/raw-guest.ts";
import { helloFor } from "./support/client-hello.ts";
import { type House, startHouse, WAYS } from "./support/house.ts";
import { run } from "./support/run.ts";

/** CONNECT and what begins behind it, in the spellings that real clients have. */

let house: House;
let authority = "";

beforeAll(async () => {
  house = await startHouse();
  authority = `api.test:${house.upstream(WAYS[0]).port}`;
});

afterAll(() => house?.stop());

beforeEach(() => house.reset());

const ESTABLISHED = "HTTP/1.1 200 Connection Established\r\n\r\n";

describe("CONNECT", () => {
  test.each([
    ["HTTP/1.1 with Host", (to: string) => `CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\n\r\n`],
    ["HTTP/1.0 without Host (Python up to 3.11)", (to: string) => `CONNECT ${to} HTTP/1.0\r\n\r\n`],
    [
      "fields that belong to the hop",
      (to: string) => `CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\nProxy-Connection: x\r\n\r\n`,
    ],
    ["a Content-Length of 0", (to: string) => `CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\nContent-Length: 0\r\n\r\n`],
    ["the name in upper case", (to: string) => `CONNECT ${to.toUpperCase()} HTTP/1.1\r\nHost: ${to}\r\n\r\n`],
  ])("%s: a clean 200", async (_name, message) => {
    const guest = await openGuest(house.edge.proxyPort);
    guest.send(message(authority));
    expect(await guest.until(/\r\n\r\n/)).toBe(ESTABLISHED);
    guest.destroy();
  });

  test("a hello that comes with it, in one segment, is kept", async () => {
    const guest = await openGuest(house.edge.proxyPort);
    const message = `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`;
    guest.send(Buffer.concat([Buffer.from(message), await helloFor("api.test")]));
    // A TLS record of type handshake follows: the server's hello.
    const text = await guest.until(/\r\n\r\n[^]{3}/);
    expect(text.slice(ESTABLISHED.length, ESTABLISHED.length + 2)).toBe("\x16\x03");
    guest.destroy();
  });

  test("a refusal comes as the answer to it, at once and with a reason", async () => {
    const guest = await openGuest(house.edge.proxyPort);
    guest.send("CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n");
    const text = await guest.ended();
    expect(text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(denialIn(text)).toBe("destination_not_allowed");
    guest.destroy();
  });
});

/** A request inside, over TLS by these options. */
async function inside(options: {
  servername?: string;
  ALPNProtocols?: string[];
}): Promise<[string, string | false | null]> {
  const plain: RawGuest = await openGuest(house.edge.proxyPort);
  plain.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  await plain.until(/\r\n\r\n/);
  plain.socket.removeAllListeners("data");
  const verify = { ca: house.edge.ca.certificate, checkServerIdentity: () => undefined };
  const socket = connectTls({ socket: plain.socket, ...verify, ...options });
  await once(socket, "secureConnect");
  socket.write(`GET /hello HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`);
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return [text, socket.alpnProtocol];
}

describe("TLS inside", () => {
  test.each([
    ["no ALPN", {}, false],
    ["http/1.1", { ALPNProtocols: ["http/1.1"] }, "http/1.1"],
    ["http/1.0, which nobody speaks", { ALPNProtocols: ["http/1.0"] }, "http/1.0"],
  ])("%s", async (_name, offer, chosen) => {
    const [text, protocol] = await inside({ servername: "api.test", ...offer });
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(protocol).toBe(chosen);
  });

  test.each([
    ["without a server name", {}, "sni_missing"],
    ["with another one", { servername: "other.test" }, "sni_mismatch"],
  ])("%s it is answered inside, by name", async (_name, options, code) => {
    const [text] = await inside(options);
    expect(text).toMatch(/^HTTP\/1\.1 421 /);
    expect(denialIn(text)).toBe(code);
    expect(house.upstream(WAYS[0]).connections).toBe(0);
  });

  test("Host without the port is another authority; with it, in another case, the same", async () => {
    const guest = await openTunnel(house.edge.proxyPort, authority, "api.test");
    guest.send(`GET /hello HTTP/1.1\r\nHost: API.test:${house.upstream(WAYS[0]).port}\r\n\r\n`);
    expect(await guest.until(/seen"\}\n$/)).toMatch(/^HTTP\/1\.1 200 /);
    guest.send("GET /hello HTTP/1.1\r\nHost: api.test\r\n\r\n");
    expect(denialIn(await guest.until(/x-deny-reason[^]*\}\n$/))).toBe("authority_mismatch");
    guest.destroy();
  });

  test("openssl s_client verifies the leaf under its strictest rules", async () => {
    const proxy = ["-proxy", `127.0.0.1:${house.edge.proxyPort}`, "-connect", authority, "-servername", "api.test"];
    const trust = ["-CAfile", house.edge.ca.certificateFile, "-no-CApath", "-no-CAstore"];
    const strict = ["-verify_return_error", "-x509_strict", "-verify_hostname", "api.test", "-brief"];
    const result = await run("openssl", ["s_client", ...proxy, ...trust, ...strict], { input: "Q\n" });
    expect(result).toMatchObject({ code: 0 });
    expect(result.stderr).toContain("Verification: OK");
  });
});

describe("no TLS inside", () => {
  test("cleartext HTTP, as `curl --proxytunnel` speaks it", async () => {
    const result = await house.curl(WAYS[1], "/hello", "--proxytunnel");
    expect(JSON.parse(result.stdout)).toMatchObject({ url: "/hello", credential: "seen" });
  });

  test.each([
    ["HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["bytes that are neither", "\x00\x01\x02"],
  ])("%s: closed, nothing sent", async (_name, first) => {
    const guest = await openGuest(house.edge.proxyPort);
    guest.send(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    await guest.until(/\r\n\r\n/);
    guest.send(first);
    expect(await guest.ended()).toBe(ESTABLISHED);
    guest.destroy();
    expect(house.upstream(WAYS[0]).connections).toBe(0);
  });
});
