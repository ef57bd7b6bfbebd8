// A grpc-js program: calls of every kind through the proxy of its environment. Arguments: target, mode (tls|clear), and, in place of
// every kind, one of: refused; load COUNT AT_ONCE (counts unary calls by status); codes NAME... (the status of a unary call to each)
import { readFileSync } from "node:fs";
import { Client, compressionAlgorithms, credentials, Metadata } from "@grpc/grpc-js";

const [target, mode, only, ...more] = process.argv.slice(2);
const roots = mode === "tls" ? readFileSync(process.env.GRPC_DEFAULT_SSL_ROOTS_FILE_PATH) : null;
const client = new Client(target, roots === null ? credentials.createInsecure() : credentials.createSsl(roots), {
  "grpc.max_receive_message_length": 8_000_000,
  "grpc.max_send_message_length": 8_000_000,
});
const raw = (value) => value;
const path = (name) => `/test.Echo/${name}`;
const told = {};
const metadata = new Metadata();
metadata.set("authorization", "Bearer stolen");
metadata.set("x-guest-bin", Buffer.from([0, 255, 7]));

function unary(name, body, options = {}) {
  return new Promise((resolve) => {
    const seen = { leading: {}, trailing: {} };
    const call = client.makeUnaryRequest(path(name), raw, raw, body, metadata, options, (error, value) => {
      const answer = { code: error?.code ?? 0, details: error?.details ?? "", value, error: error?.metadata?.getMap() };
      // The status comes behind the answer.
      setImmediate(() => resolve({ ...seen, ...answer }));
    });
    call.on("metadata", (fields) => (seen.leading = fields.getMap()));
    call.on("status", (status) => (seen.trailing = status.metadata.getMap()));
  });
}

if (only === "refused") {
  const { code, error } = await unary("Unary", Buffer.from("x"), { deadline: Date.now() + 20_000 });
  told.refused = { code, reason: error?.["x-deny-reason"] };
} else if (only === "load") {
  const [count, atOnce] = more.map(Number);
  let begun = 0;
  const ask = async () => {
    while (begun++ < count) {
      const { code, details } = await unary("Unary", Buffer.from("x"), { deadline: Date.now() + 20_000 });
      const end = code === 0 ? "0" : `${code} ${details}`;
      told[end] = (told[end] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, ask));
} else if (only === "codes") {
  for (const name of more) told[name] = (await unary(name, Buffer.from("x"), { deadline: Date.now() + 20_000 })).code;
} else {
  const plain = await unary("Unary", Buffer.from("hello"));
  told.unary = { code: plain.code, value: plain.value?.toString(), leading: plain.leading["x-leading"] };
  told.trailing = [plain.trailing["x-late"], plain.trailing["odd_name-bin.1"]];
  const large = Buffer.alloc(4_000_000, "0123456789");
  const back = await unary("Unary", large);
  told.large = back.value?.equals(large) ?? back.details;
  const failed = await unary("Fail", Buffer.alloc(0));
  told.failed = [failed.code, failed.details, failed.error["x-why"]];
  told.missing = (await unary("Nothing", Buffer.alloc(0))).code;
  // A deadline that was over before its call had got to the server says nothing: the next one is twice as long.
  const hung = async () => (await unary("Hung", Buffer.alloc(0))).value?.toString();
  const before = await hung();
  for (let ms = 300; told.deadline === undefined || (told.deadline === 4 && (await hung()) === before); ms *= 2)
    told.deadline = (await unary("Hang", Buffer.alloc(0), { deadline: Date.now() + ms })).code;
  told.collected = await new Promise((resolve) => {
    const call = client.makeClientStreamRequest(path("Collect"), raw, raw, metadata, (error, value) =>
      resolve(error?.code ?? value.toString()),
    );
    for (const part of ["a", "bc", "def"]) call.write(Buffer.from(part));
    call.end();
  });
  told.expanded = await new Promise((resolve) => {
    const parts = [];
    const call = client.makeServerStreamRequest(path("Expand"), raw, raw, Buffer.from("xyz"), metadata);
    call.on("data", (part) => parts.push(part.toString()));
    call.on("error", (error) => resolve(error.code));
    call.on("status", (status) => resolve([parts.join("|"), status.code, status.metadata.get("x-count")[0]]));
  });
  // Each message comes back before the next one is sent.
  const chat = client.makeBidiStreamRequest(path("Chat"), raw, raw, metadata);
  const replies = [];
  for (const word of ["one", "two", "three"]) {
    const reply = new Promise((resolve) => chat.once("data", resolve));
    chat.write(Buffer.from(word));
    replies.push((await reply).toString());
  }
  told.chat = replies;
  told.chatStatus = await new Promise((resolve) => {
    chat.on("status", ({ code }) => resolve(code));
    chat.on("data", () => undefined);
    chat.end();
  });
  const doomed = client.makeServerStreamRequest(path("Tick"), raw, raw, Buffer.from("x"), metadata);
  told.cancelled = await new Promise((resolve) => {
    doomed.on("error", (error) => resolve(error.code));
    doomed.once("data", () => doomed.cancel());
  });
  const compressing = new Client(target, roots === null ? credentials.createInsecure() : credentials.createSsl(roots), {
    "grpc.default_compression_algorithm": compressionAlgorithms.gzip,
  });
  told.compressed = await new Promise((resolve) => {
    const body = Buffer.alloc(100_000, "z");
    compressing.makeUnaryRequest(path("Unary"), raw, raw, body, metadata, {}, (error, value) =>
      resolve(error?.code ?? value.equals(body)),
    );
  });
  told.many = (await Promise.all(Array.from({ length: 80 }, (_, i) => unary("Unary", Buffer.from(String(i)))))).every(
    ({ value }, i) => value?.toString() === String(i),
  );
  compressing.close();
}
client.close();
process.stdout.write(JSON.stringify(told));
