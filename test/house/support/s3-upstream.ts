import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import { crc32 } from "node:zlib";
import { createHash } from "node:crypto";
import { verify, type Verified, type VerifierOptions } from "./aws-verifier.ts";
import type { TestLeaf } from "./certificates.ts";
import { inTurn } from "./in-turn.ts";

/**
 * An object store on loopback, as far as clients need one, that checks every signature for real and keeps what was put. Over TLS
 * it speaks HTTP/2 and HTTP/1.1, whichever is asked for.
 */

export interface S3Options {
  readonly tls?: TestLeaf;
  readonly verifier: Omit<VerifierOptions, "nowMs">;
}

export interface S3Request {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly rawHeaders: readonly string[];
  /** `null` until all of it has come, and for ever when it broke off. */
  verified: Verified | null;
  /** What the signature check said, when it did not hold. */
  fault: string | null;
  state: "open" | "complete" | "broken";
  bodyBytes: number;
}

export interface S3Upstream {
  readonly address: string;
  readonly port: number;
  readonly scheme: "http" | "https";
  readonly requests: S3Request[];
  /** By path, decoded. */
  readonly objects: Map<string, Buffer>;
  reset(): void;
  close(): Promise<void>;
}

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

export async function startS3({ tls, verifier }: S3Options): Promise<S3Upstream> {
  const requests: S3Request[] = [];
  const objects = new Map<string, Buffer>();
  const sockets = new Set<Socket>();

  const onRequest = (request: Request, response: Response): void => {
    const rawHeaders = request.rawHeaders.map((text) => (text === ":authority" ? "host" : text));
    const seen: S3Request = {
      method: request.method ?? "",
      url: request.url ?? "",
      httpVersion: request.httpVersion,
      rawHeaders,
      verified: null,
      fault: null,
      state: "open",
      bodyBytes: 0,
    };
    requests.push(seen);
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      seen.bodyBytes += chunk.length;
    });
    request.on("error", () => undefined);
    request.on("close", () => {
      if (seen.state === "open") seen.state = "broken";
    });
    request.on("end", () => {
      // Over HTTP/2 a reset ends the stream as well.
      if (!request.complete || ("aborted" in request && request.aborted)) return;
      seen.state = "complete";
      try {
        const signed = { method: seen.method, url: seen.url, rawHeaders, body: Buffer.concat(chunks) };
        seen.verified = verify(signed, { ...verifier, nowMs: Date.now() });
        checkSums(rawHeaders, seen.verified);
      } catch (error) {
        seen.fault = error instanceof Error ? error.message : String(error);
        const code = /^[A-Za-z0-9]+/.exec(seen.fault)?.[0] ?? "Error";
        answer(response, 403, `<Error><Code>${code}</Code><Message>no</Message></Error>`);
        return;
      }
      serve(seen, response, objects);
    });
  };

  const server: Server =
    tls === undefined
      ? createServer(onRequest)
      : createSecureServer({ allowHTTP1: true, cert: tls.certificate, key: tls.key }, onRequest);
  server.on("checkContinue", (request: Request, response: Response) => {
    inTurn(response, () => response.writeContinue());
    onRequest(request, response);
  });
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
  return {
    address: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    scheme: tls === undefined ? "http" : "https",
    requests,
    objects,
    reset() {
      requests.length = 0;
      objects.clear();
    },
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** The checksums that came, in the head or behind the body, have to be those of the content. */
function checkSums(rawHeaders: readonly string[], { content, trailers }: Verified): void {
  const sums: Record<string, string> = { ...trailers };
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    if (name.startsWith("x-amz-checksum-")) sums[name] = rawHeaders[i + 1] as string;
  }
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32(content));
  const known: Record<string, string> = {
    "x-amz-checksum-crc32": crc.toString("base64"),
    "x-amz-checksum-sha256": createHash("sha256").update(content).digest("base64"),
  };
  for (const [name, value] of Object.entries(sums)) {
    if (known[name] !== undefined && known[name] !== value) throw new Error(`BadDigest: ${name}`);
  }
}

function serve(seen: S3Request, response: Response, objects: Map<string, Buffer>): void {
  const url = new URL(seen.url, "http://s3");
  const path = decodeURIComponent(url.pathname);
  const query = url.searchParams;
  const content = seen.verified?.content ?? Buffer.alloc(0);
  const part = query.get("partNumber");
  if (path === "/reflect") reflect(seen, response);
  else if (seen.method === "POST" && query.has("uploads"))
    answer(
      response,
      200,
      `<InitiateMultipartUploadResult><UploadId>upload-1</UploadId></InitiateMultipartUploadResult>`,
    );
  else if (seen.method === "POST" && query.has("uploadId")) {
    const parts = [...objects.keys()].filter((key) => key.startsWith(`${path}#`)).sort();
    objects.set(path, Buffer.concat(parts.map((key) => objects.get(key) as Buffer)));
    for (const key of parts) objects.delete(key);
    answer(response, 200, `<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>`);
  } else if (seen.method === "PUT") {
    objects.set(part === null ? path : `${path}#${part}`, content);
    answer(response, 200, "", { ETag: `"${createHash("md5").update(content).digest("hex")}"` });
  } else if (seen.method === "DELETE") {
    objects.delete(path);
    answer(response, 204, "");
  } else if (query.get("list-type") === "2")
    list(path.replace(/\/$/, ""), query.get("prefix") ?? "", response, objects);
  else if (seen.method === "POST") answer(response, 200, content.toString("latin1"));
  else {
    const found = objects.get(path);
    if (found === undefined) answer(response, 404, "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>");
    else answer(response, 200, seen.method === "HEAD" ? null : found, { "Content-Length": String(found.length) });
  }
}

function list(bucket: string, prefix: string, response: Response, objects: Map<string, Buffer>): void {
  const keys = [...objects.keys()].map((key) => key.slice(bucket.length + 1)).filter((key) => key.startsWith(prefix));
  const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const entries = keys.map((key) => `<Contents><Key>${escaped(key)}</Key><Size>1</Size></Contents>`).join("");
  answer(response, 200, `<ListBucketResult><IsTruncated>false</IsTruncated>${entries}</ListBucketResult>`);
}

/** Says all that it was told, in the head. */
function reflect({ rawHeaders, url }: S3Request, response: Response): void {
  const echoed: Record<string, string> = { "x-echo-url": url };
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    if (!name.startsWith(":")) echoed[`x-echo-${name}`] = rawHeaders[i + 1] as string;
  }
  answer(response, 200, "reflected", echoed);
}

function answer(
  response: Response,
  status: number,
  body: string | Buffer | null,
  headers: Record<string, string> = {},
): void {
  response.statusCode = status;
  if (typeof body === "string") response.setHeader("Content-Type", "application/xml");
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  if (body !== null && headers["Content-Length"] === undefined && status !== 204)
    response.setHeader("Content-Length", String(Buffer.byteLength(body)));
  if (body === null) response.end();
  else response.end(body);
}
