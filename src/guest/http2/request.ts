import { Authority } from "../../core/authority.ts";
import { Denial } from "../../core/denial.ts";
import { Fields } from "../../core/fields.ts";
import type { BodyLength } from "../../core/wire.ts";
import { isToken, VISIBLE } from "../../http1/grammar.ts";
import { cutRequestHopByHop } from "../../http1/hop-by-hop.ts";
import { type BlockLimits, type FieldLines, readFieldLines } from "../../http2/field-lines.ts";
import { Http2Error } from "../../http2/grammar.ts";
import type { TunnelPlace } from "../place.ts";

/** One request of an HTTP/2 stream, as the line wants it. */
export interface StreamRequest {
  /** An extended CONNECT for a WebSocket is the GET that it stands for (RFC 8441 §5). */
  readonly method: string;
  readonly authority: Authority;
  readonly path: string;
  /** End-to-end fields; Host comes first and names the authority. */
  readonly fields: Fields;
  readonly length: BodyLength;
  readonly expectContinue: boolean;
  readonly wantsTrailers: boolean;
  readonly upgrade: "websocket" | null;
  readonly isGrpc: boolean;
  /** It can be answered, but only with this. */
  readonly refusal: Denial | null;
}

const PSEUDO: ReadonlySet<string> = new Set([":method", ":scheme", ":authority", ":path", ":protocol"]);

/**
 * Gives a HEADERS block its one canonical authority, or finds that it names several.
 * @param raw name/value list as it came
 * @param endsHere END_STREAM came with the head
 * @throws Http2Error when the request cannot be read at all
 */
export function readStreamRequest(
  raw: readonly string[],
  endsHere: boolean,
  tunnel: TunnelPlace,
  limits: BlockLimits,
): StreamRequest {
  const block = readFieldLines(raw, PSEUDO, limits);
  const { pseudo } = block;
  const method = pseudo.get(":method") ?? "";
  if (!isToken(method)) throw new Http2Error("method");
  const protocol = pseudo.get(":protocol");
  if (protocol !== undefined && method !== "CONNECT") throw new Http2Error("connect");
  const { said, lines } = splitHost(block);
  const isNested = method === "CONNECT" && protocol === undefined;
  const path = isNested ? "" : readPath(pseudo.get(":path"), method);
  const { authority, refusal } = judge(said, pseudo, tunnel, isNested, protocol);
  const upgrade = protocol === "websocket" ? "websocket" : null;
  // RFC 8441 §5: the stream is the connection; one that ends with its head asks for nothing.
  if (upgrade !== null && endsHere) throw new Http2Error("connect");
  const length = bodyLength(lines, endsHere, upgrade !== null);
  const fields = Fields.of([
    ["Host", authority.hostField(tunnel.scheme)],
    ...lines,
    ...lengthLine(lines, method, endsHere),
  ]);
  const te = fields.all("te");
  if (te.some((value) => value.toLowerCase() !== "trailers")) throw new Http2Error("connection_field");
  const expect = fields.all("expect");
  cutRequestHopByHop(fields, NONE);
  return {
    method: upgrade === null ? method : "GET",
    authority,
    path,
    fields,
    length,
    expectContinue: expect.length > 0 && length !== "none",
    wantsTrailers: te.length > 0,
    upgrade,
    // RFC 8441 §5: a refusal by 200 would say that the WebSocket is open.
    isGrpc: upgrade === null && isGrpc(fields),
    refusal: refusal ?? keyProblem(fields, upgrade) ?? expectationProblem(expect),
  };
}

const NONE: readonly string[] = [];

/** RFC 9113 §8.3.1: Host stands for a missing :authority; both have to say the same. */
function splitHost({ pseudo, lines }: FieldLines): {
  readonly said: readonly string[];
  readonly lines: FieldLines["lines"];
} {
  const hosts = lines.filter(([name]) => name === "host");
  if (hosts.length > 1) throw new Http2Error("authority");
  const authority = pseudo.get(":authority");
  const said = [...(authority === undefined ? [] : [authority]), ...hosts.map(([, value]) => value)];
  if (said.length === 0) throw new Http2Error("authority");
  return { said, lines: hosts.length === 0 ? lines : lines.filter(([name]) => name !== "host") };
}

function readPath(path: string | undefined, method: string): string {
  if (path === undefined || path === "") throw new Http2Error("path");
  if (path.charCodeAt(0) !== 47 && !(path === "*" && method === "OPTIONS")) throw new Http2Error("path");
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code > 255 || VISIBLE[code] !== 1) throw new Http2Error("path");
  }
  return path;
}

/** What the head names against what the tunnel was opened for. */
function judge(
  said: readonly string[],
  pseudo: ReadonlyMap<string, string>,
  tunnel: TunnelPlace,
  isNested: boolean,
  protocol: string | undefined,
): { readonly authority: Authority; readonly refusal: Denial | null } {
  const { authority } = tunnel;
  const refused = (denial: Denial) => ({ authority, refusal: denial });
  if (isNested) return refused(new Denial("tunnel_unsupported", { cause: "CONNECT inside a tunnel" }));
  const scheme = pseudo.get(":scheme");
  if (scheme === undefined) throw new Http2Error("scheme");
  if (tunnel.refusal !== null) return refused(new Denial(tunnel.refusal));
  if (scheme.toLowerCase() !== tunnel.scheme)
    return refused(new Denial("authority_mismatch", { cause: "the scheme differs from the tunnel" }));
  for (const text of said) {
    const parsed = Authority.parse(text, tunnel.scheme === "https" ? 443 : 80);
    if (parsed === null || !parsed.equals(authority))
      return refused(new Denial("authority_mismatch", { cause: ":authority or Host differs from the tunnel" }));
  }
  if (protocol !== undefined && protocol !== "websocket")
    return refused(new Denial("upgrade_unsupported", { cause: "unknown :protocol" }));
  return { authority, refusal: null };
}

function bodyLength(lines: FieldLines["lines"], endsHere: boolean, isUpgrade: boolean): BodyLength {
  const said = lines.filter(([name]) => name === "content-length");
  const [first] = said;
  if (first === undefined) return endsHere || isUpgrade ? "none" : "stream";
  const [, text] = first;
  if (said.length > 1 || !/^[0-9]{1,15}$/.test(text) || isUpgrade) throw new Http2Error("length");
  if (!endsHere) return Number(text);
  if (Number(text) !== 0) throw new Http2Error("length");
  return "none";
}

/** Methods whose request without content is told by `Content-Length: 0` in HTTP/1.1 (RFC 9110 §8.6). */
const EXPECT_CONTENT: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

function lengthLine(lines: FieldLines["lines"], method: string, endsHere: boolean): readonly [string, string][] {
  if (!endsHere || !EXPECT_CONTENT.has(method) || lines.some(([name]) => name === "content-length")) return [];
  return [["content-length", "0"]];
}

/** RFC 6455 §4.2.1: one key; with several, upstream and edge could go by different ones. */
function keyProblem(fields: Fields, upgrade: "websocket" | null): Denial | null {
  if (upgrade === null || fields.all("sec-websocket-key").length < 2) return null;
  return new Denial("request_malformed", { cause: "more than one Sec-WebSocket-Key" });
}

/** Of several lines the upstream could heed another one than this edge. */
function expectationProblem(expect: readonly string[]): Denial | null {
  const [first] = expect;
  const isKnown = first === undefined || (expect.length === 1 && first.toLowerCase() === "100-continue");
  return isKnown ? null : new Denial("expectation_unsupported");
}

/** `application/grpc`, with or without a suffix or parameters. */
function isGrpc(fields: Fields): boolean {
  return /^application\/grpc(?:$|[+; ])/i.test(fields.get("content-type") ?? "");
}
