/** What client and upstream agree on for a gRPC call: the method, and one message behind its five-byte prefix. */

export const GRPC_PATH = "/bench.Echo/Say";

const MESSAGE_BYTES = 128;

/** Not compressed, then the length: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
export const GRPC_MESSAGE = framed(Buffer.alloc(MESSAGE_BYTES, "postern "));

function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}
