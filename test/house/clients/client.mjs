// What a Node program does with HTTP, as JSON on standard output. Arguments: KIND BASE_URL REFUSED_URL
import { createHash } from "node:crypto";
import http from "node:http";
import https from "node:https";
import { Readable } from "node:stream";
import { EnvHttpProxyAgent, fetch as undiciFetch, ProxyAgent, request as undiciRequest } from "undici";

const [kind, base, refused] = process.argv.slice(2);
const BYTES = 3_000_000;
const body = Buffer.alloc(BYTES, "postern ");
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const told = { body_sha256: sha256(body) };

async function failure(call) {
  try {
    await call();
    return "none";
  } catch (error) {
    return error.name;
  }
}

async function withFetch(fetch, more) {
  const ask = (path, init) => fetch(base + path, { ...more, ...init });
  told.get = await (await ask("/hello?a=%2f")).json();
  const stream = () => ({ method: "POST", duplex: "half", body: Readable.toWeb(Readable.from(parts())) });
  told.upload_stream = (await (await ask("/upload", stream())).json()).sha256;
  told.upload_length = (await (await ask("/upload", { method: "PUT", body })).json()).sha256;
  told.head = (await ask("/download?bytes=12345", { method: "HEAD" })).headers.get("content-length");
  told.redirect = (await ask("/redirect?to=/hello&status=307", { redirect: "manual" })).status;
  told.encoded = (await (await ask("/encoded?coding=br")).text()).length > 0;
  told.cookies = (await ask("/set-cookie")).headers.getSetCookie().length;
  told.download_sha256 = sha256(Buffer.from(await (await ask(`/download?bytes=${BYTES}`)).arrayBuffer()));
  told.broken_length = await failure(async () => (await ask("/reset?bytes=100000&after=50000")).text());
  told.broken_chunked = await failure(async () => (await ask("/reset?chunked=1&after=50000")).text());
  told.parallel = (await Promise.all(Array.from({ length: 30 }, (_, i) => ask(`/hello?i=${i}`)))).length;
  told.refused = await failure(async () => {
    const response = await fetch(refused, more);
    told.refused_status = response.status;
    throw new TypeError(response.headers.get("x-deny-reason"));
  });
}

function* parts() {
  for (let at = 0; at < BYTES; at += 65_536) yield body.subarray(at, at + 65_536);
}

/** @returns status, fields and body */
function core(url, { method = "GET", payload, headers } = {}) {
  const { request } = url.startsWith("https:") ? https : http;
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ response, body: Buffer.concat(chunks) }));
      response.on("error", reject);
    });
    outgoing.on("error", reject);
    if (payload === undefined) outgoing.end();
    else Readable.from(payload).pipe(outgoing);
  });
}

async function withCore() {
  told.get = JSON.parse((await core(`${base}/hello?a=%2f`)).body);
  told.upload_stream = JSON.parse((await core(`${base}/upload`, { method: "POST", payload: parts() })).body).sha256;
  const headers = { "content-length": BYTES };
  told.upload_length = JSON.parse(
    (await core(`${base}/upload`, { method: "PUT", payload: parts(), headers })).body,
  ).sha256;
  told.head = (await core(`${base}/download?bytes=12345`, { method: "HEAD" })).response.headers["content-length"];
  told.redirect = (await core(`${base}/redirect?to=/hello&status=307`)).response.statusCode;
  told.cookies = (await core(`${base}/set-cookie`)).response.headers["set-cookie"].length;
  told.trailers = (await core(`${base}/trailers`)).response.trailers;
  told.download_sha256 = sha256((await core(`${base}/download?bytes=${BYTES}`)).body);
  told.broken_length = await failure(() => core(`${base}/reset?bytes=100000&after=50000`));
  told.broken_chunked = await failure(() => core(`${base}/reset?chunked=1&after=50000`));
}

async function withRequest(dispatcher) {
  const { body: answer } = await undiciRequest(`${base}/hello?a=%2f`, { dispatcher });
  told.request = await answer.json();
}

if (kind === "fetch") await withFetch(fetch, {});
else if (kind === "core") await withCore();
else {
  const Agent = kind === "ProxyAgent" ? ProxyAgent : EnvHttpProxyAgent;
  const dispatcher = kind === "ProxyAgent" ? new Agent(process.env.HTTPS_PROXY) : new Agent();
  await withFetch(undiciFetch, { dispatcher });
  await withRequest(dispatcher);
  await dispatcher.close();
}
process.stdout.write(JSON.stringify(told));
