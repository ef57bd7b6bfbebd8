import type { Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type House, startHouse } from "./support/house.ts";
import { type RawUpstream, startRawUpstream } from "./support/raw-upstream.ts";
import { run } from "./support/run.ts";

/**
 * Answers that last until the connection ends. Over TLS the upstream says itself that this is the end; a FIN alone can come
 * from anybody on the way, who would so cut a list of rules or a script short (RFC 9112 §9.8).
 */

let house: House;
const arrived: Socket[] = [];

beforeAll(async () => {
  const respond = (socket: Socket): void => void arrived.push(socket);
  house = await startHouse({
    others: async (ca) => ({
      "raw.test": await startRawUpstream(respond, { tls: await ca.issue(["raw.test"]) }),
      "plain-raw.test": await startRawUpstream(respond),
    }),
  });
});

afterAll(() => house?.stop());

afterEach(() => {
  for (const socket of arrived.splice(0)) socket.destroy();
});

const HEAD = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
/** Enough to be written and read in many pieces, with pauses for the guest. */
const LARGE = "0123456789abcdef".repeat(200_000);

/** curl asks; the upstream answers and ends as told. curl sees a broken answer as 18 (partial) or 56 (reset). */
async function curl(
  name: string,
  body: string,
  end: (upstream: RawUpstream, socket: Socket) => void,
  ...args: string[]
) {
  const upstream = house.others[name]!;
  const { scheme, port } = upstream;
  const result = run("curl", ["-sS", "--http1.1", ...args, `${scheme}://${name}:${port}/`], {
    env: house.edge.guestEnv(),
  });
  await expect.poll(() => arrived.length, { timeout: 20_000, interval: 5 }).toBe(1);
  const socket = arrived[0] as Socket;
  await new Promise<void>((done) => {
    socket.write(HEAD + body, () => done());
  });
  end(upstream, socket);
  return result;
}

const close = (_: RawUpstream, socket: Socket): void => void socket.end();
const cut = (upstream: RawUpstream, socket: Socket): void => void upstream.transportOf(socket).end();
const reset = (upstream: RawUpstream, socket: Socket): void => void upstream.transportOf(socket).resetAndDestroy();
const outcome = async (): Promise<unknown> =>
  (await house.edge.audit()).findLast(({ type }) => type === "exchange")?.["outcome"];

describe.each([
  ["a short one", "hello"],
  ["a long one", LARGE],
])("%s", (_name, body) => {
  test.each(["raw.test", "plain-raw.test"])("of %s, closed by the upstream, is whole", async (name) => {
    expect(await curl(name, body, close)).toMatchObject({ code: 0, stdout: body });
  });

  test.each([[], ["--http1.0"], ["--http2"]])(
    "over TLS, cut by a FIN alone, is broken for the guest (%s)",
    async (...args) => {
      const result = await curl("raw.test", body, cut, ...args);
      // 92: the HTTP/2 stream was reset.
      expect(args[0] === "--http2" ? [92] : [18, 56]).toContain(result.code);
      await expect.poll(outcome).toBe("upstream_aborted");
    },
  );

  test("over TLS, cut by a reset, is broken for the guest", async () => {
    const result = await curl("raw.test", body, reset);
    // The reset may overtake the whole answer in the kernel: then the edge has none.
    if (result.code === 0) expect(result.stdout).toContain('"code":"upstream_unreachable"');
    else expect([18, 56]).toContain(result.code);
  });

  test("without TLS a FIN is all there is", async () => {
    expect(await curl("plain-raw.test", body, cut)).toMatchObject({ code: 0, stdout: body });
  });
});
