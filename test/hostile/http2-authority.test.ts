import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { END_HEADERS, headers } from "../guest/support/h2-frames.ts";
import { eventually } from "../line/support/joined.ts";
import { type Field, startTarget, type Target } from "./support/h2-attacker.ts";

/** One authority a tunnel: CONNECT, SNI, :authority and Host have to say the same, in whatever order they lie. */

let target: Target;

beforeAll(async () => {
  target = await startTarget();
});

afterAll(async () => {
  await target.close();
  expect(target.joined.faults).toEqual([]);
  await eventually(() => target.joined.sweep.size === 0, "the end of every deadline");
});

const port = (): number => target.upstream.port;

/** A request that names what it is told to name. */
function naming(authority: string | null, ...hosts: string[]): Field[] {
  const pseudo = target.request().filter(([name]) => name !== ":authority");
  const named: Field[] = authority === null ? [] : [[":authority", authority]];
  return [...pseudo, ...named, ...hosts.map((host): Field => ["host", host])];
}

interface Outcome {
  /** Code of the refusal, `reset`, or the text of the answer. */
  readonly said: string;
  readonly heard: string;
}

async function tell(fields: readonly Field[], servername?: string, flags?: number): Promise<Outcome> {
  const guest = await target.attack(servername === undefined ? {} : { servername });
  guest.send(headers(1, fields, flags));
  await guest.answered(1);
  guest.socket.destroy();
  const body = guest.body(1);
  const said = body === "" ? "reset" : (/"code":"(\w+)"/.exec(body)?.[1] ?? body);
  return { said, heard: await target.heard() };
}

/** @returns what the guest was told; nothing was heard upstream */
async function refusalOf(...request: Parameters<typeof tell>): Promise<string> {
  const { said, heard } = await tell(...request);
  expect(heard).toBe("");
  return said;
}

/** What is no authority at all is reset by the grammar; what is another one is refused by name. */
const REFUSED = /^(authority_mismatch|reset|request_malformed)$/;

const SPELLINGS: readonly (readonly [string, (port: number) => string])[] = [
  ["another name", (port) => `other.test:${port}`],
  ["a sub-domain", (port) => `x.api.test:${port}`],
  ["a longer name", (port) => `api.test.evil.test:${port}`],
  ["no port", () => "api.test"],
  ["the default port", () => "api.test:443"],
  ["port 0", () => "api.test:0"],
  ["a port with a leading zero", (port) => `api.test:0${port}`],
  ["a port with a plus", (port) => `api.test:+${port}`],
  ["a port beyond 16 bits that is the same within them", (port) => `api.test:${port + 65_536}`],
  ["an empty port", () => "api.test:"],
  ["two ports", (port) => `api.test:${port}:${port}`],
  ["a trailing dot", (port) => `api.test.:${port}`],
  ["a leading dot", (port) => `.api.test:${port}`],
  ["a wildcard", (port) => `*.test:${port}`],
  ["userinfo", (port) => `user@api.test:${port}`],
  ["userinfo with a password", (port) => `api.test:${port}@other.test:${port}`],
  ["a percent sign", (port) => `api%2etest:${port}`],
  ["a full-width dot", (port) => `api\xef\xbc\x8etest:${port}`],
  ["a list", (port) => `api.test:${port}, other.test`],
  ["a path", (port) => `api.test:${port}/`],
  ["a fragment", (port) => `api.test:${port}#`],
  ["a query", (port) => `api.test:${port}?`],
  ["a backslash", (port) => `api.test:${port}\\`],
  ["a scheme", (port) => `https://api.test:${port}`],
  ["the address behind the name", (port) => `127.0.0.1:${port}`],
  ["the address in octal", (port) => `0177.0.0.1:${port}`],
  ["the address in hexadecimal", (port) => `0x7f000001:${port}`],
  ["the address as one number", (port) => `2130706433:${port}`],
  ["the address, short", (port) => `127.1:${port}`],
  ["the address, mapped", (port) => `[::ffff:127.0.0.1]:${port}`],
  ["the loopback of IPv6", (port) => `[::1]:${port}`],
  ["brackets around the name", (port) => `[api.test]:${port}`],
  ["nothing", () => ""],
];

describe.each(SPELLINGS)("%s", (_name, spell) => {
  test.each<[string, () => Field[]]>([
    ["as :authority", () => naming(spell(port()))],
    ["as Host", () => naming(null, spell(port()))],
    ["as :authority beside the right Host", () => naming(spell(port()), target.authority)],
    ["as both", () => naming(spell(port()), spell(port()))],
  ])("%s", async (_where, fields) => {
    expect(await refusalOf(fields())).toMatch(REFUSED);
  });

  test("as Host beside the right :authority", async () => {
    const { said, heard } = await tell(naming(target.authority, spell(port())));
    // A Host with characters that no authority has is left out before anybody can look at it (nghttp2): it must not be heard.
    if (said === "ok") expect(heard.match(/^host: .*$/gim)).toEqual([`Host: ${target.authority}`]);
    else expect([heard, REFUSED.test(said)]).toEqual(["", true]);
  });
});

test("of two Host fields neither is taken", async () => {
  expect(await refusalOf(naming(target.authority, target.authority, "other.test"))).toMatch(REFUSED);
  expect(await refusalOf(naming(null, "other.test", target.authority))).toMatch(REFUSED);
});

describe("spellings of the right one", () => {
  test.each<[string, () => Field[]]>([
    ["in capitals", () => naming(target.authority.toUpperCase())],
    ["as Host alone", () => naming(null, target.authority)],
    ["as both, spelled differently", () => naming(target.authority, target.authority.toUpperCase())],
  ])("%s: the upstream hears the canonical one, once", async (_name, fields) => {
    const guest = await target.attack();
    guest.send(headers(1, fields()));
    await guest.answered(1);
    guest.socket.destroy();
    expect(guest.body(1)).toBe("ok");
    expect((await target.heard()).match(/^host: .*$/gim)).toEqual([`Host: ${target.authority}`]);
  });
});

describe("SNI", () => {
  test.each([
    ["another name", "other.test", "sni_mismatch"],
    ["a sub-domain", "x.api.test", "sni_mismatch"],
    ["a trailing dot", "api.test.", "sni_mismatch"],
    ["none", "", "sni_missing"],
  ])("%s: every stream is refused, whatever it names", async (_name, servername, code) => {
    for (const named of [target.authority, servername === "" ? "api.test" : `${servername}:${port()}`]) {
      expect(await refusalOf(naming(named), servername)).toBe(code);
    }
    const webSocket: Field[] = [
      [":method", "CONNECT"],
      [":protocol", "websocket"],
      [":scheme", "https"],
      [":path", "/"],
      [":authority", target.authority],
    ];
    expect(await refusalOf(webSocket, servername, END_HEADERS)).toBe(code);
  });

  test("in capitals it is the same name", async () => {
    const guest = await target.attack({ servername: "API.Test" });
    guest.send(headers(1, target.request()));
    await guest.answered(1);
    guest.socket.destroy();
    expect(guest.body(1)).toBe("ok");
    expect(await target.heard()).toContain(`Host: ${target.authority}\r\n`);
  });
});
