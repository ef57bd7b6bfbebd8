import {
  type Metadata,
  Metadata as MetadataOf,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type ServerOptions,
  type ServiceDefinition,
  status,
} from "@grpc/grpc-js";
import type { TestLeaf } from "./certificates.ts";

/** What a call brought. */
export interface GrpcCall {
  readonly method: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  cancelled: boolean;
}

export interface GrpcUpstream {
  readonly address: "127.0.0.1";
  readonly scheme: "https" | "http";
  readonly port: number;
  readonly calls: readonly GrpcCall[];
  stop(): void;
}

const raw = (value: Buffer): Buffer => value;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
});

/** Messages are bytes: what is tested is how calls travel. */
export const ECHO = {
  Unary: method("Unary", false, false),
  Collect: method("Collect", true, false),
  Expand: method("Expand", false, true),
  Chat: method("Chat", true, true),
  Fail: method("Fail", false, false),
  Hang: method("Hang", false, false),
  /** How many calls of `Hang` have come, as decimal text. */
  Hung: method("Hung", false, false),
  /** One message, and no end. */
  Tick: method("Tick", false, true),
} satisfies ServiceDefinition;

export interface GrpcOptions {
  /** Of grpc-js: ages of connections, bounds. */
  readonly channel?: ServerOptions;
  /** How long `Unary` thinks, `ms`; default: not at all. */
  readonly thinksMs?: number;
}

/**
 * A gRPC server of grpc-js that demands the credential of every call.
 * @param tls certificate; `null` speaks in cleartext
 */
export async function startGrpc(
  tls: TestLeaf | null,
  authorization: string,
  { channel = {}, thinksMs = 0 }: GrpcOptions = {},
): Promise<GrpcUpstream> {
  const calls: GrpcCall[] = [];
  const server = new Server({
    ...channel,
    "grpc.max_receive_message_length": 8_000_000,
    "grpc.max_send_message_length": 8_000_000,
  });
  const answered = new WeakSet<object>();
  const take = (
    name: string,
    metadata: Metadata,
    call: { on(event: "cancelled", listener: () => void): unknown },
  ): boolean => {
    const record: GrpcCall = { method: name, metadata: metadata.getMap(), cancelled: false };
    calls.push(record);
    // The server says so of every call that is over.
    call.on("cancelled", () => {
      record.cancelled = !answered.has(call);
    });
    return record.metadata["authorization"] === authorization;
  };
  const unauthenticated = { code: status.UNAUTHENTICATED, details: "no credential" };
  const trailing = (entries: Record<string, string>): MetadataOf => {
    const metadata = new MetadataOf();
    for (const [name, value] of Object.entries(entries)) metadata.set(name, value);
    return metadata;
  };
  server.addService(ECHO, {
    Unary(call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) {
      if (!take("Unary", call.metadata, call)) return reply(unauthenticated);
      call.sendMetadata(trailing({ "x-leading": "first" }));
      const answer = (): void => {
        answered.add(call);
        reply(null, call.request, trailing({ "x-late": "last", "odd_name-bin.1": "plain" }));
      };
      if (thinksMs === 0) answer();
      else setTimeout(answer, thinksMs);
    },
    Collect(call: ServerReadableStream<Buffer, Buffer>, reply: sendUnaryData<Buffer>) {
      if (!take("Collect", call.metadata, call)) return reply(unauthenticated);
      const parts: Buffer[] = [];
      call.on("data", (part: Buffer) => parts.push(part));
      call.on("end", () => {
        answered.add(call);
        reply(null, Buffer.concat(parts));
      });
    },
    Expand(call: ServerWritableStream<Buffer, Buffer>) {
      if (!take("Expand", call.metadata, call)) {
        call.destroy(Object.assign(new Error("no"), unauthenticated));
        return;
      }
      for (const byte of call.request) call.write(Buffer.from([byte]));
      answered.add(call);
      call.end(trailing({ "x-count": String(call.request.length) }));
    },
    Chat(call: ServerDuplexStream<Buffer, Buffer>) {
      if (!take("Chat", call.metadata, call)) {
        call.destroy(Object.assign(new Error("no"), unauthenticated));
        return;
      }
      call.on("data", (part: Buffer) => call.write(part));
      call.on("end", () => {
        answered.add(call);
        call.end();
      });
    },
    Fail(call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) {
      if (!take("Fail", call.metadata, call)) return reply(unauthenticated);
      answered.add(call);
      reply({ code: status.DATA_LOSS, details: "half of it – gone", metadata: trailing({ "x-why": "because" }) });
    },
    Tick(call: ServerWritableStream<Buffer, Buffer>) {
      take("Tick", call.metadata, call);
      call.write(call.request);
    },
    Hang(call: ServerUnaryCall<Buffer, Buffer>) {
      take("Hang", call.metadata, call);
    },
    Hung(call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) {
      if (!take("Hung", call.metadata, call)) return reply(unauthenticated);
      answered.add(call);
      reply(null, Buffer.from(String(calls.filter(({ method: called }) => called === "Hang").length)));
    },
  });
  const credentials =
    tls === null
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(null, [
          { cert_chain: Buffer.from(tls.certificate), private_key: Buffer.from(tls.key) },
        ]);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  return {
    address: "127.0.0.1",
    scheme: tls === null ? "http" : "https",
    port,
    calls,
    stop: () => server.forceShutdown(),
  };
}
