import type { Stage } from "../stage/stage.ts";
import { GRPC_PATH } from "../wire/grpc.ts";
import {
  destinationHost,
  FLOODED_HOST,
  HTTP2_HOST,
  LIVE_HOST,
  OPAQUE_HOST,
  PLAIN_HOST,
  ZONE,
} from "../wire/fixtures.ts";
import { BEARER_HOST, SIGNED_HOST, SIGNING } from "../wire/sigv4.ts";
import type { Serving } from "./contender.ts";

export interface PosternServing extends Serving {
  /** Whether the tree can be told which HTTP a destination speaks. */
  readonly http2: boolean;
}

export type PosternStage = Pick<Stage, "upstream" | "certificates">;

/** The text of Postern's config file. */
export function posternConfig(stage: PosternStage, port: number, serving: PosternServing): string {
  const { destinations, leaseSeconds = 900, signs = false, floodedPort, http2 } = serving;
  const { tlsPort, plainPort, http2Port, opaquePort } = stage.upstream;
  const list = Array.from({ length: destinations }, (_, i) => inspected(i, tlsPort)).join("");
  return `
listeners:
  - name: guests
    address: 127.0.0.1:${port}
    session: { mode: open, tenant: local, workspace: default, id: local }
admin:
  address: 127.0.0.1:0
ca:
  certificate: ${stage.certificates.ca}
  key: ${stage.certificates.caKey}
upstream:
  extra_roots: [${stage.certificates.upstreamCa}]
resolver:
  hosts: { "*.${ZONE}": [127.0.0.1] }
log:
  level: info
  exchanges: true
audit:
  file: ../audit.jsonl
  mode: durable_first
  fsync: interval
${floodedPort === undefined ? "" : SHORT_TIMES}custody:
  main:
    embedded:
      credentials:
        - name: bench
          kind: token
          source: { env: BENCH_CREDENTIAL }
          hosts: ["*.${ZONE}:${tlsPort}", "*.${ZONE}:${plainPort}", "*.${ZONE}:${http2Port}"${floodedPort === undefined ? "" : `, "${FLOODED_HOST}:${floodedPort}"`}]
          ttl_seconds: ${leaseSeconds}
${signs ? signingKey(tlsPort) : ""}destinations:
  - name: plain
    host: ${PLAIN_HOST}
    port: ${plainPort}
    scheme: http
    allow:
      - methods: [GET]
        paths: ["/**"]
    credential: bench
    attach: { as: bearer }
    plain_http_credential: accept
    addresses: [127.0.0.0/8]
  - name: live
    host: ${LIVE_HOST}
    port: ${tlsPort}
    allow:
      - methods: [GET]
        paths: ["/events", "/socket"]
    credential: bench
    attach: { as: bearer }
    addresses: [127.0.0.0/8]
  - name: http2
    host: ${HTTP2_HOST}
    port: ${http2Port}${http2 ? "\n    http: h2" : ""}
    allow:
      - methods: [GET, POST]
        paths: ["/json", "${GRPC_PATH}"]
    credential: bench
    attach: { as: bearer }
    addresses: [127.0.0.0/8]
  - name: opaque
    host: ${OPAQUE_HOST}
    port: ${opaquePort}
    tls: passthrough
    addresses: [127.0.0.0/8]
${signs ? signed(tlsPort) : ""}${floodedPort === undefined ? "" : flooded(floodedPort)}${list}`;
}

function inspected(index: number, port: number): string {
  return `  - name: api-${index}
    host: ${destinationHost(index)}
    port: ${port}
    scheme: https
    tls: inspect
    allow:
      - methods: [GET, POST]
        paths: ["/json", "/download", "/upload"]
    credential: bench
    attach: { as: bearer }
    addresses: [127.0.0.0/8]
`;
}

/** Whoever floods without a fault is cut when its time is up. */
const SHORT_TIMES = `timeouts:
  request_head_ms: 700
  guest_idle_ms: 1500
  body_idle_ms: 900
`;

function flooded(port: number): string {
  return `  - name: flooded
    host: ${FLOODED_HOST}
    port: ${port}
    allow:
      - methods: [GET, POST]
        paths: ["/**"]
    credential: bench
    attach: { as: bearer }
    addresses: [127.0.0.0/8]
`;
}

function signingKey(port: number): string {
  return `        - name: aws
          kind: aws
          key_id: ${SIGNING.keyId}
          source: { env: BENCH_SECRET_KEY }
          hosts: ["${SIGNED_HOST}:${port}"]
`;
}

/** One that is signed for, and the same with a bearer token. */
function signed(port: number): string {
  const { region, service, standIn } = SIGNING;
  const attach = `{ as: sigv4, region: ${region}, service: ${service}, stand_in: ${standIn} }`;
  return (
    twin("signed", SIGNED_HOST, port, "aws", attach) + twin("bearer", BEARER_HOST, port, "bench", "{ as: bearer }")
  );
}

function twin(name: string, host: string, port: number, credential: string, attach: string): string {
  return `  - name: ${name}
    host: ${host}
    port: ${port}
    allow:
      - methods: [GET, PUT]
        paths: ["/json", "/upload"]
    credential: ${credential}
    attach: ${attach}
    addresses: [127.0.0.0/8]
`;
}
