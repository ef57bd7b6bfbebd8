// Node's core client with an expectation: prints what it hears, a line each, and sends its body with a trailer once it may.
// Argument: URL
import { request } from "node:https";

const say = (...words) => process.stdout.write(`${words.join(" ")}\n`);
const headers = { expect: "100-continue", "transfer-encoding": "chunked", trailer: "x-sum" };
const outgoing = request(process.argv[2], { method: "POST", headers });
outgoing.on("information", ({ statusCode, headers }) => say("information", statusCode, headers.link ?? ""));
outgoing.on("continue", () => {
  say("continue");
  outgoing.addTrailers({ "x-sum": "abc" });
  outgoing.end("body");
});
outgoing.on("response", (response) => {
  say("answer", response.statusCode);
  let text = "";
  response.on("data", (chunk) => (text += chunk));
  response.on("end", () => {
    say("body", text.trimEnd());
    say("trailers", JSON.stringify(response.trailers));
    // A program whose expectation was refused has a body left, and nobody to send it to.
    outgoing.destroy();
  });
});
outgoing.flushHeaders();
