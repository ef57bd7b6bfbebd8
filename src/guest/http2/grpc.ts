import type { Denial, DenialCode } from "../../core/denial.ts";

/**
 * A denial inside a gRPC call: an answer that consists of trailers alone, since clients drop HTTP statuses and bodies. The code
 * of the denial is metadata.
 */
export function grpcRefusal(denial: Denial, correlationId: string): string[] {
  return [
    ":status",
    "200",
    "content-type",
    "application/grpc",
    "grpc-status",
    String(grpcStatus(denial)),
    // Fixed ASCII text without "%": nothing to percent-encode.
    "grpc-message",
    denial.entry.text,
    "x-deny-reason",
    denial.code,
    "x-correlation-id",
    correlationId,
  ];
}

const INVALID_ARGUMENT = 3;
const DEADLINE_EXCEEDED = 4;
const PERMISSION_DENIED = 7;
const RESOURCE_EXHAUSTED = 8;
const FAILED_PRECONDITION = 9;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

/** Codes whose HTTP status says too little: 502 and 503 stand for "not now" as well as for "never". */
const BY_CODE: Partial<Record<DenialCode, number>> = {
  address_denied: PERMISSION_DENIED,
  loop_detected: PERMISSION_DENIED,
  response_leak: PERMISSION_DENIED,
  encoding_unscannable: PERMISSION_DENIED,
  request_timeout: DEADLINE_EXCEEDED,
};

const BY_STATUS: Readonly<Record<number, number>> = {
  400: INVALID_ARGUMENT,
  403: PERMISSION_DENIED,
  407: UNAUTHENTICATED,
  413: RESOURCE_EXHAUSTED,
  417: INVALID_ARGUMENT,
  421: FAILED_PRECONDITION,
  429: RESOURCE_EXHAUSTED,
  431: RESOURCE_EXHAUSTED,
  501: UNIMPLEMENTED,
  502: UNAVAILABLE,
  503: UNAVAILABLE,
  504: DEADLINE_EXCEEDED,
};

/** Status of https://grpc.github.io/grpc/core/md_doc_statuscodes.html that tells a client what to do about the denial. */
export function grpcStatus(denial: Denial): number {
  return BY_CODE[denial.code] ?? BY_STATUS[denial.entry.status] ?? INTERNAL;
}
