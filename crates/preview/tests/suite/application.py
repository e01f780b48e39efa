"""What runs inside: an HTTP/1.1 server that tells what it saw, and misbehaves where it is asked to."""

import base64
import hashlib
import http.server
import json
import socket
import struct
import sys
import threading
import time

released = threading.Event()
chunk = bytes(range(256)) * 256


class Application(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        """Pieces of the request's body."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers.get("content-length") or 0)
            while left and (piece := self.rfile.read(min(left, 65536))):
                left -= len(piece)
                yield piece

    def say(self, body, status=200, headers=()):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        path = self.path.split("?")[0]
        name = "at" + path.replace("/", "_")
        getattr(self, name, self.at_other)()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_BREW = handle_any

    def at_other(self):
        digest, length = hashlib.sha256(), 0
        for piece in self.body():
            digest.update(piece)
            length += len(piece)
        seen = {
            "method": self.command,
            "target": self.path,
            "headers": [[name.lower(), value] for name, value in self.headers.items()],
            "sha256": digest.hexdigest(),
            "length": length,
            "connection": self.client_address[1],
        }
        self.say(json.dumps(seen).encode(), headers=[("content-type", "application/json")])

    def at_(self):
        if self.headers.get("upgrade") == "websocket":
            self.at_ws()
        else:
            self.at_other()

    def at_unread(self):
        """Answers and leaves the request's body where it is."""
        self.say(b"unread")

    def at_teapot(self):
        own = [("set-cookie", "a=1; Path=/; Domain=localhost"), ("set-cookie", "pinfold_preview=x"),
               ("location", "/elsewhere"), ("x-own", "2"), ("x-request-id", "of-the-app"),
               ("service-worker-allowed", "/"), ("connection", "x-hop"), ("x-hop", "3")]
        self.say(b"short and stout", 418, own)

    def at_download(self):
        pieces = int(self.path.split("?")[1])
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for _ in range(pieces):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def at_sized(self):
        pieces = int(self.path.split("?")[1])
        self.send_response(200)
        self.send_header("content-length", str(pieces * len(chunk)))
        self.end_headers()
        for _ in range(pieces):
            self.wfile.write(chunk)

    def at_events(self):
        """One event at once, the other when somebody asks for /release."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        released.wait(60)
        self.wfile.write(b"data: second\n\n")
        self.close_connection = True

    def at_release(self):
        released.set()
        self.say(b"")

    def at_duplex(self):
        """Answers each piece of the request's body before the next one comes."""
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in self.body():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece.upper()))
        self.wfile.write(b"0\r\n\r\n")

    def at_slow(self):
        time.sleep(0.2)
        self.say(b"done")

    def raw(self, *pieces):
        for piece in pieces:
            self.wfile.write(piece)
        self.close_connection = True

    def at_raw_huge_header(self):
        self.raw(b"HTTP/1.1 200 OK\r\nx-huge: " + b"a" * (1 << 20) + b"\r\n\r\n")

    def at_raw_endless_headers(self):
        self.raw(b"HTTP/1.1 200 OK\r\n")
        try:
            while True:
                self.raw(b"x-more: %s\r\n" % (b"a" * 1000))
        except OSError:
            pass

    def at_raw_many_headers(self):
        self.raw(b"HTTP/1.1 200 OK\r\n", *[b"x-%d: 1\r\n" % n for n in range(5000)], b"\r\n")

    def at_raw_dripping_headers(self):
        self.raw(b"HTTP/1.1 200 OK\r\n")
        try:
            for _ in range(600):
                self.raw(b"x: y\r\n")
                time.sleep(0.1)
        except OSError:
            pass

    def at_raw_endless_continues(self):
        try:
            for _ in range(100000):
                self.raw(b"HTTP/1.1 100 Continue\r\n\r\n")
                time.sleep(0.01)
        except OSError:
            pass

    def at_raw_garbage(self):
        self.raw(b"\x16\x03\x01 this is no HTTP\r\n\r\n")

    def at_raw_split(self):
        self.raw(b"HTTP/1.1 200 OK\r\nx-a: 1\rSet-Cookie: evil=1\r\ncontent-length: 0\r\n\r\n")

    def at_raw_two_lengths(self):
        self.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 7\r\n\r\nhello, world")

    def at_raw_length_and_chunks(self):
        self.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
                 b"5\r\nhello\r\n0\r\n\r\n")

    def at_raw_two_answers(self):
        one = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none"
        self.raw(one + one.replace(b"one", b"two"))
        self.close_connection = False

    def at_raw_unasked_upgrade(self):
        self.raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhi")

    def at_raw_close(self):
        self.raw()

    def at_raw_silent(self):
        time.sleep(600)

    def at_raw_short_body(self):
        self.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")

    def at_ws(self):
        """A WebSocket that sends back what it gets."""
        guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        key = self.headers["sec-websocket-key"].encode() + guid
        accept = base64.b64encode(hashlib.sha1(key).digest())
        self.raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Accept: " + accept + b"\r\nX-Own: yes\r\nX-Target: " + self.path.encode() + b"\r\n\r\n")
        while head := self.rfile.read(2):
            opcode, length = head[0] & 15, head[1] & 127
            if length == 126:
                length, = struct.unpack(">H", self.rfile.read(2))
            elif length == 127:
                length, = struct.unpack(">Q", self.rfile.read(8))
            mask = self.rfile.read(4)
            data = bytearray(self.rfile.read(length))
            whole = mask * (length // 4 + 1)
            data = (int.from_bytes(data, "big") ^ int.from_bytes(whole[:length], "big")).to_bytes(length, "big")
            size = bytes([length]) if length < 126 else b"\x7e" + struct.pack(">H", length) \
                if length < 65536 else b"\x7f" + struct.pack(">Q", length)
            self.wfile.write(bytes([head[0]]) + size + data)
            if opcode == 8:
                return


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Application).serve_forever()
