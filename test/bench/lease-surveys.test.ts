import { expect, test } from "vitest";
import { CREDENTIALS, custodyHolder, edgeHolder } from "../../bench/custody/holders.ts";
import { adminOf, grantedIn } from "../../bench/surveys/lease-fetches.ts";

test.each([
  ["custody", () => custodyHolder()],
  ["the edge", () => edgeHolder(50)],
])(
  "leases that %s holds are all there until a quarter of an hour is over, and none is afterwards",
  async (_side, make) => {
    const holder = make();
    for (let generation = 0; generation < 2; generation++) {
      await holder.fill(5);
      expect(holder.size).toBe(5 * CREDENTIALS);
      holder.expire();
      expect(holder.size).toBe(0);
    }
  },
);

test("a keeper with too little room does not pass for one that holds all", async () => {
  const holder = edgeHolder(49);
  await holder.fill(5);
  expect(holder.size).toBe(49);
});

test("leases are counted from the edge's metrics, wherever its log says they are", () => {
  const log = '{"msg":"anchor"}\n{"msg":"ready","listeners":{},"admin":"127.0.0.1:9464"}\n';
  expect(adminOf(log)).toBe("127.0.0.1:9464");
  expect(() => adminOf('{"msg":"anchor"}\n')).toThrow("admin listener");
  const series = "postern_lease_fetches_total";
  const metrics =
    `# TYPE ${series} counter\n${series}{custody="main",result="granted"} 120\n` +
    `${series}{custody="main",result="lease_denied"} 7\n${series}{custody="other",result="granted"} 3\n`;
  expect(grantedIn(metrics)).toBe(123);
  expect(() => grantedIn("")).toThrow("no leases");
});
