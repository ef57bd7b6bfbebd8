import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { INJECTED_AUTHORIZATION, JSON_BODY } from "../wire/fixtures.ts";
import { GRPC_MESSAGE, GRPC_PATH } from "../wire/grpc.ts";
import { counts } from "./counts.ts";

/** One HTTP/2 stream: the 1 KB of JSON, or a gRPC call that is answered with the message that it must have brought. */
export function serveStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  stream.on("error", () => undefined); // the other end of a broken stream fails the sample
  counts.served++;
  if (headers.authorization !== INJECTED_AUTHORIZATION) {
    counts.uninjected++;
    stream.respond({ ":status": 401 }, { endStream: true });
  } else if (headers[":path"] === GRPC_PATH) serveCall(stream, headers);
  else {
    stream.respond(JSON_HEAD);
    stream.end(JSON_BODY);
  }
}

const JSON_HEAD = {
  ":status": 200,
  "content-type": "application/json",
  "cache-control": "no-store",
  "content-length": JSON_BODY.length,
};
const GRPC_HEAD = { ":status": 200, "content-type": "application/grpc" };
const GRPC_END = { "grpc-status": "0" };

function serveCall(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  let body: Buffer = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    body = body.length === 0 ? chunk : Buffer.concat([body, chunk]);
  });
  stream.on("end", () => {
    const isCall = headers.te === "trailers" && headers["content-type"] === "application/grpc";
    if (!isCall || !body.equals(GRPC_MESSAGE)) {
      stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
      return;
    }
    stream.respond(GRPC_HEAD, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers(GRPC_END));
    stream.end(GRPC_MESSAGE);
  });
}
