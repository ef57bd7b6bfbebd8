"""A grpcio program: calls of every kind through the proxy of its environment. Arguments: target, [refused]"""

import json
import os
import sys

import grpc

target = sys.argv[1]
with open(os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"], "rb") as roots:
    channel = grpc.secure_channel(
        target,
        grpc.ssl_channel_credentials(roots.read()),
        options=[("grpc.max_receive_message_length", 8_000_000), ("grpc.max_send_message_length", 8_000_000)],
    )
METADATA = (("authorization", "Bearer stolen"),)
path = "/test.Echo/".__add__
told = {}


def refused():
    try:
        channel.unary_unary(path("Unary"))(b"x", metadata=METADATA, timeout=20)
    except grpc.RpcError as error:
        metadata = dict(error.trailing_metadata() or ()) | dict(error.initial_metadata() or ())
        return {"code": error.code().value[0], "reason": metadata.get("x-deny-reason")}
    return None


if len(sys.argv) > 2:
    told["refused"] = refused()
else:
    value, call = channel.unary_unary(path("Unary")).with_call(b"hello", metadata=METADATA)
    told["unary"] = [value.decode(), call.code().value[0], dict(call.trailing_metadata())["x-late"]]
    large = b"0123456789" * 400_000
    told["large"] = channel.unary_unary(path("Unary"))(large, metadata=METADATA) == large
    told["collected"] = channel.stream_unary(path("Collect"))(iter([b"a", b"bc"]), metadata=METADATA).decode()
    told["expanded"] = [part.decode() for part in channel.unary_stream(path("Expand"))(b"xyz", metadata=METADATA)]
    told["chat"] = [part.decode() for part in channel.stream_stream(path("Chat"))(iter([b"one", b"two"]), metadata=METADATA)]
    try:
        channel.unary_unary(path("Hang"))(b"", metadata=METADATA, timeout=0.3)
    except grpc.RpcError as error:
        told["deadline"] = error.code().value[0]
    try:
        channel.unary_unary(path("Fail"))(b"", metadata=METADATA)
    except grpc.RpcError as error:
        told["failed"] = [error.code().value[0], error.details()]
    stream = channel.unary_unary(path("Unary"), request_serializer=None)
    told["compressed"] = stream(b"z" * 100_000, metadata=METADATA, compression=grpc.Compression.Gzip) == b"z" * 100_000
print(json.dumps(told))
