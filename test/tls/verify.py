"""Verifies leaves with ssl and VERIFY_X509_STRICT, which Python 3.13 sets by itself: "host port anchor.pem" lines."""
import socket
import ssl
import sys


def verify(host, port, anchor):
    context = ssl.create_default_context(cafile=anchor)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        with socket.create_connection(("127.0.0.1", int(port))) as plain:
            with context.wrap_socket(plain, server_hostname=host):
                return "ok"
    except ssl.SSLError as error:
        return str(error)


for line in sys.stdin:
    host, port, anchor = line.split()
    print(host, verify(host, port, anchor))
