import type { RequestShape } from "../load/caller.ts";
import type { Route } from "../load/route.ts";
import type { Tally } from "../load/window.ts";
import { type Figure, SLACK_MS } from "../measures/measure.ts";
import { cpuPer, loadCorePercent, perSecond } from "../measures/per.ts";
import {
  BEARER_HOST,
  CHUNK_BYTES,
  NO_SIGNATURE,
  sha256,
  SIGNED_HOST,
  SIGNING,
  STREAMING,
  UPLOAD_CHUNKS,
} from "../wire/sigv4.ts";
import type { Survey, Surveyed } from "./survey.ts";

const CONNECTIONS = 16;
const ATTACHED = ["signed", "bearer"] as const;
type Attached = (typeof ATTACHED)[number];

const HOSTS: Readonly<Record<Attached, string>> = { signed: SIGNED_HOST, bearer: BEARER_HOST };

const BODY = "x".repeat(1024);

/** What is asked for on open connections. Both kinds are asked in the same words, but for Authorization. */
const CALLS = {
  get: { title: "GET", method: "GET", body: "" },
  put: { title: "PUT of 1 KB", method: "PUT", body: BODY },
} as const;
type Call = keyof typeof CALLS;

/** What signing costs beside a bearer token, at one Postern that has both. */
export const sigv4: Survey = {
  name: "sigv4",
  title: `AWS Signature Version 4, ${CONNECTIONS} connections`,
  of: "postern",
  figures: ATTACHED.flatMap(figures),
  async take({ stage, start, pace, results, contender }) {
    const edge = await start({ destinations: 1, signs: true });
    try {
      const warmUp: Where = { stage, pace: { ...pace, windowMs: pace.warmUpMs } };
      for (const attached of ATTACHED) await requests(attached, "put", edge.route, warmUp);
      for (let round = 0; round < pace.rounds; round++) {
        for (const attached of round % 2 === 0 ? ATTACHED : ATTACHED.toReversed()) {
          for (const call of ["get", "put"] as const)
            results.record(contender, round, await requests(attached, call, edge.route, { stage, pace }));
          results.record(contender, round, await uploads(attached, edge.route, { stage, pace }));
        }
      }
    } finally {
      await edge.stop();
    }
  },
};

function figures(attached: Attached): Figure[] {
  const calls = (["get", "put"] as const).flatMap((call) => [
    { id: `sigv4.${attached}.${call}.rate`, title: `${CALLS[call].title}, ${attached}: requests/s`, digits: 0 },
    { id: `sigv4.${attached}.${call}.cpu`, title: `${CALLS[call].title}, ${attached}: CPU-s per 10,000`, digits: 2 },
    { id: `sigv4.${attached}.${call}.load`, title: `${CALLS[call].title}, ${attached}: load core busy, %`, digits: 0 },
  ]);
  const upload = attached === "signed" ? "upload in aws-chunked of 64 KiB, signed" : "plain upload, bearer";
  return [
    ...calls,
    { id: `sigv4.${attached}.upload.rate`, title: `${upload}: MB/s`, digits: 0 },
    { id: `sigv4.${attached}.upload.cpu`, title: `${upload}: CPU-s per GB`, digits: 2 },
  ];
}

type Where = Pick<Surveyed, "stage" | "pace">;

async function requests(
  attached: Attached,
  call: Call,
  route: Route,
  { stage, pace: { warmMs, windowMs } }: Where,
): Promise<Record<string, number>> {
  const { upstreamPid } = stage;
  const { method, body } = CALLS[call];
  const shape = { ...guestShape(attached, sha256(body)), method, body };
  const host = HOSTS[attached];
  const tally = await stage.run<Tally>(
    { kind: "keepalive", route, upstreamPid, host, shape, plain: false, connections: CONNECTIONS, warmMs, windowMs },
    warmMs + windowMs + SLACK_MS,
  );
  return {
    [`sigv4.${attached}.${call}.rate`]: perSecond(tally),
    [`sigv4.${attached}.${call}.cpu`]: cpuPer(tally, 10_000),
    [`sigv4.${attached}.${call}.load`]: loadCorePercent(tally),
  };
}

async function uploads(
  attached: Attached,
  route: Route,
  { stage, pace: { bulkTimes: times } }: Where,
): Promise<Record<string, number>> {
  const { upstreamPid } = stage;
  const chunked = attached === "signed";
  const guest = chunked ? guestShape(attached, STREAMING) : {};
  const fields = chunked
    ? [...(guest.fields ?? []), "Content-Encoding: aws-chunked", `X-Amz-Decoded-Content-Length: ${DECODED_BYTES}`]
    : [];
  const shape: RequestShape = { ...guest, method: "PUT", path: "/upload", fields };
  const tally = await stage.run<Tally>(
    { kind: "upload", route, upstreamPid, host: HOSTS[attached], shape, chunked, times },
    times * 10_000 + SLACK_MS,
  );
  return {
    [`sigv4.${attached}.upload.rate`]: perSecond(tally) / 1e6,
    [`sigv4.${attached}.upload.cpu`]: cpuPer(tally, 1e9),
  };
}

const DECODED_BYTES = UPLOAD_CHUNKS * CHUNK_BYTES;

/** As an SDK signs that was given the stand-in. @param payload digest of the body, or the word in its place */
function guestShape(attached: Attached, payload: string): RequestShape {
  const { standIn, region, service } = SIGNING;
  const fields = ["X-Amz-Date: 20260101T000000Z", `X-Amz-Content-Sha256: ${payload}`];
  if (attached === "bearer") return { fields };
  const credential = `Credential=${standIn}/20260101/${region}/${service}/aws4_request`;
  const names = "SignedHeaders=host;x-amz-content-sha256;x-amz-date";
  return { fields, authorization: `AWS4-HMAC-SHA256 ${credential}, ${names}, Signature=${NO_SIGNATURE}` };
}
