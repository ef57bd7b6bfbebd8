import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type House, startHouse, type Way, WAYS } from "./support/house.ts";
import { patternSha256 } from "./support/pattern.ts";
import { isPresent, run } from "./support/run.ts";

/** Python's requests (trust by REQUESTS_CA_BUNDLE) and urllib (by SSL_CERT_FILE). Up to 3.11 it CONNECTs as HTTP/1.0 without Host. */

const client = join(dirname(fileURLToPath(import.meta.url)), "clients", "client.py");
const hasPython = isPresent("python3");
const hasRequests = hasPython && isPresent("python3", ["-c", "import requests"]);

let house: House;

beforeAll(async () => {
  house = await startHouse();
});

afterAll(() => house?.stop());

beforeEach(() => house.reset());

async function ask(library: "requests" | "urllib", way: Way): Promise<Record<string, unknown>> {
  const refused = house.upstream(way).urlFor("other.test", "/");
  const args = [client, library, house.url(way, ""), refused];
  const result = await run("python3", args, { env: house.edge.guestEnv(), timeoutMs: 50_000 });
  if (result.code !== 0) throw new Error(result.stderr);
  return JSON.parse(result.stdout) as Record<string, unknown>;
}

describe.each(WAYS)("%s", (way) => {
  test.skipIf(!hasRequests)(`requests${hasRequests ? "" : " (skipped: python3-requests is absent)"}`, async () => {
    const told = await ask("requests", way);
    const refused = way === WAYS[0] ? { refused: "ProxyError" } : { refused: "HTTPError", refused_status: 403 };
    expect(told).toEqual({
      body_sha256: expect.any(String) as string,
      get: { method: "GET", url: "/hello?a=%2F", credential: "seen" },
      post_json: 8,
      upload_chunked: told["body_sha256"],
      upload_length: told["body_sha256"],
      head: "12345",
      redirect: 307,
      encoded: "gzip",
      cookies: ["first", "second"],
      lines: 9,
      download_sha256: patternSha256(3_000_000),
      early: "none",
      early_status: 413,
      broken_length: expect.stringMatching(/^(ChunkedEncodingError|ConnectionError|EOFError)$/) as string,
      broken_chunked: expect.stringMatching(/^(ChunkedEncodingError|ConnectionError)$/) as string,
      ...refused,
    });
    expect(house.upstream(way).credentialless()).toBe(0);
  });

  test.skipIf(!hasPython)(`urllib${hasPython ? "" : " (skipped: python3 is absent)"}`, async () => {
    const told = await ask("urllib", way);
    expect(told).toEqual({
      body_sha256: expect.any(String) as string,
      get: { method: "GET", url: "/hello?a=%2f", credential: "seen" },
      upload_chunked: told["body_sha256"],
      upload_length: told["body_sha256"],
      head: "12345",
      download_sha256: patternSha256(3_000_000),
      broken_length: expect.stringMatching(/^(IncompleteRead|ConnectionResetError|SSLEOFError)$/) as string,
      broken_chunked: expect.stringMatching(/^(IncompleteRead|ConnectionResetError|SSLEOFError)$/) as string,
      refused: way === WAYS[0] ? "URLError" : "HTTPError",
    });
    expect(house.upstream(way).credentialless()).toBe(0);
  });

  test.skipIf(!hasPython)(`http.client as HTTP/1.0${hasPython ? "" : " (skipped: python3 is absent)"}`, async () => {
    const { port } = house.upstream(way);
    const args = [
      "-c",
      HTTP_1_0,
      String(house.edge.proxyPort),
      "api.test",
      String(port),
      way === WAYS[0] ? "yes" : "no",
    ];
    const result = await run("python3", args, { env: house.edge.guestEnv() });
    if (result.code !== 0) throw new Error(result.stderr);
    const sha256 = patternSha256(200_000);
    expect(JSON.parse(result.stdout)).toEqual({
      length: [200, "close", sha256],
      chunked: [200, "close", sha256],
      interim: [200, "close", expect.any(String) as string],
      upload: [200, "close", expect.any(String) as string],
    });
    expect(house.upstream(way).requests.at(-1)).toMatchObject({ bodyBytes: 200_000, body: "complete" });
    expect(house.upstream(way).credentialless()).toBe(0);
  });
});

/** No Host, no chunks, a connection a request. Arguments: proxy port, name and port, whether through a tunnel. */
const HTTP_1_0 = `
import hashlib, http.client, json, ssl, sys
proxy, name, port, tunnel = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "yes"
told = {}

def ask(key, method, path, body=None):
    kind = http.client.HTTPSConnection if tunnel else http.client.HTTPConnection
    connection = kind("127.0.0.1", proxy, **({"context": ssl.create_default_context()} if tunnel else {}))
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
    if tunnel:
        connection.set_tunnel(name, port)
    connection.request(method, path if tunnel else f"http://{name}:{port}{path}", body)
    answer = connection.getresponse()
    told[key] = [answer.status, answer.headers["connection"], hashlib.sha256(answer.read()).hexdigest()]
    assert answer.headers["transfer-encoding"] is None

ask("length", "GET", "/download?bytes=200000")
ask("chunked", "GET", "/download?bytes=200000&chunked=1")
ask("interim", "GET", "/interim")
ask("upload", "POST", "/upload", b"x" * 200000)
print(json.dumps(told))
`;
