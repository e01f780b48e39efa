"""Runs in the network namespace that plays the outside: a name server, and servers that tell whom
they were asked for. Says `ready` when all of them listen."""

from __future__ import annotations

import hashlib
import http.server
import socket
import socketserver
import ssl
import struct
import sys
import threading

PUBLIC, OTHER, OWN, PRIVATE = "203.0.113.2", "203.0.113.3", "203.0.113.1", "10.99.0.2"
ZONE = {
    "allowed.test": [PUBLIC],
    "a.wild.test": [PUBLIC],
    "b.a.wild.test": [PUBLIC],
    "wild.test": [PUBLIC],
    "other.test": [OTHER],
    "inward.test": ["127.0.0.1"],
    "unspecified.test": ["0.0.0.0"],
    "metadata.test": ["169.254.169.254"],
    "own.test": [OWN],
    "second.test": ["203.0.113.4"],
    "private.test": [PRIVATE],
    "mixed.test": ["127.0.0.1", PUBLIC],
    "rebind.test": [PUBLIC],
}
asked: dict[str, int] = {}


def answer(question: bytes) -> bytes:
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    kind = struct.unpack("!H", question[at + 1 : at + 3])[0]
    name = ".".join(labels).lower()
    asked[name] = asked.get(name, 0) + 1
    addresses = ZONE.get(name, [])
    if name == "rebind.test" and asked[name] > 2:
        addresses = ["127.0.0.1"]
    code = 0 if name in ZONE else 3
    records = addresses if kind == 1 else []
    head = question[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0)
    body = question[12 : at + 5]
    for address in records:
        body += b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
    return head + body


class Names(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request[1].sendto(answer(self.request[0]), self.client_address)


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("upgrade") == "echo":
            self.send_response(101)
            self.send_header("connection", "upgrade")
            self.send_header("upgrade", "echo")
            self.end_headers()
            while line := self.rfile.readline():
                self.wfile.write(line)
            self.close_connection = True
            return
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("location", "https://other.test/seen")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        body = self.body()
        where = self.connection.getsockname()[0]
        text = f"{self.command} {self.path} host={self.headers['host']} at={where} {len(body)}\n"
        if self.path == "/seen":
            # Not itself: who asked must not learn it from the answer.
            shown = self.headers["authorization"]
            text = f"authorization={hashlib.sha256(shown.encode()).hexdigest() if shown else 'none'}\n"
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
        # Without having said so, as servers do with connections that were idle for long.
        self.close_connection |= self.path == "/closes"

    def body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        pieces = []
        while length := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    do_POST = do_CONNECT = do_GET

    def log_message(self, *_: object) -> None:
        pass


class Banner(socketserver.StreamRequestHandler):
    """Speaks first, as mail servers do, and says again what it hears."""

    def handle(self) -> None:
        self.wfile.write(b"220 speaks first\r\n")
        while line := self.rfile.readline():
            self.wfile.write(line)


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while data := self.rfile.read1(65536):
            self.wfile.write(data)


class Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main(certificate: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    secure = Threads(("0.0.0.0", 443), Web)
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    socketserver.ThreadingUDPServer.allow_reuse_address = True
    servers: list[socketserver.BaseServer] = [
        socketserver.ThreadingUDPServer((PUBLIC, 53), Names),
        Threads(("0.0.0.0", 80), Web),
        Threads(("0.0.0.0", 2525), Banner),
        Threads(("0.0.0.0", 7), Echo),
        secure,
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


main(sys.argv[1])
