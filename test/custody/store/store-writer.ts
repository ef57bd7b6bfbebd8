import { randomBytes } from "node:crypto";
import { Secret } from "../../../src/core/secret.ts";
import { SecretStore } from "../../../src/custody/store/secret-store.ts";
import { storeKey } from "../../../src/custody/store/store-key.ts";

/** Writes to a store until it is killed, or `times` times: `FILE KEY NAME [TIMES]`. Each write is told once it is durable. */
const [file = "", key = "", name = "", times = "1000000"] = process.argv.slice(2);
const clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };
const store = new SecretStore({
  file,
  key: storeKey({ from: "env", variable: "KEY" }, { clock, environment: { KEY: key } }, null),
  reader: null,
  clock,
  randomBytes,
});
for (let i = 0; i < Number(times); i++) {
  const { version = 0 } = (await store.list().catch(() => [])).find((entry) => entry.name === name) ?? {};
  const value = Secret.of(`value ${version + 1} ${"x".repeat(((version * 977) % 5000) + 1)}`);
  process.stdout.write(`${await store.put(name, value, { keepPrevious: true })}\n`);
}
