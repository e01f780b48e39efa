"""What gateways lead to in these tests: a network namespace with a name server, an API and an MCP server under
TLS, by an authority of its own.

Run as a program it is what runs in there.
"""

import contextlib
import hashlib
import http.server
import json
import pathlib
import socketserver
import ssl
import sys
import threading
import time

from beyond import beyond, run, serve_names

NAME = "pfgateway"
#: A part of the network that the other outside of this directory has, so both may be there.
OWN, PUBLIC, PRIVATE = "198.51.100.129", "198.51.100.130", "10.98.0.2"
ZONE = {
    "api.test": PUBLIC,
    "mcp.test": PUBLIC,
    "unproven.test": PUBLIC,
    "inward.test": "127.0.0.1",
    "metadata.test": "169.254.169.254",
    "own.test": OWN,
    "private.test": PRIVATE,
    "rebind.test": PUBLIC,
}
TOOLS = ["get_one", "get_two", "put_three"]
asked: dict[str, int] = {}
#: Of MCP: the tools that were called.
called: list[str] = []
go = threading.Event()
#: What goes on until the other side has gone, and has ended.
ended: list[str] = []


def address_of(name, kind):
    if kind == 1:
        asked[name] = asked.get(name, 0) + 1
    if name == "rebind.test" and asked.get(name, 0) > 1:
        return "127.0.0.1"
    return ZONE.get(name)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, status, body, kind="application/json", **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def pieces(self):
        if self.headers.get("transfer-encoding") != "chunked":
            left = int(self.headers.get("content-length", 0))
            while left:
                piece = self.rfile.read(min(left, 1 << 20))
                left -= len(piece)
                yield piece
            return
        while length := int(self.rfile.readline(), 16):
            yield self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()

    def chunk(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def begin(self, kind):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def beat(self, name, write):
        try:
            while True:
                write(b"data: beat\n\n")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            ended.append(name)
            self.close_connection = True

    def any(self):
        path = self.path.split("?")[0]
        if path == "/mcp":
            return self.mcp()
        if path.endswith("/redirect"):
            return self.say(302, b"", location="http://169.254.169.254/latest/meta-data")
        if path.endswith("/events"):
            self.begin("text/event-stream")
            self.chunk(b"data: one\n\n")
            # Whoever holds the first back waits for ever.
            assert go.wait(30)
            go.clear()
            self.chunk(b"data: two\n\n")
            return self.chunk(b"")
        if path.endswith("/go"):
            go.set()
        if path.endswith("/called"):
            return self.say(200, called)
        if path.endswith("/ended"):
            return self.say(200, ended)
        if path.endswith("/held"):
            self.begin("text/event-stream")
            return self.beat(path, self.chunk)
        if path.endswith("/upgraded"):
            self.send_response(101)
            self.send_header("connection", "upgrade")
            self.send_header("upgrade", "beats")
            self.end_headers()
            return self.beat(path, self.wfile.write)
        size, whole = 0, hashlib.sha256()
        for piece in self.pieces():
            size += len(piece)
            whole.update(piece)
        if path.endswith("/big"):
            self.begin("application/octet-stream")
            for _ in range(64):
                self.chunk(bytes(1 << 20))
            return self.chunk(b"")
        # Values are not told but hashed: who asked must not learn the secret from the answer.
        headers = {name.lower(): digest(value) for name, value in self.headers.items()}
        seen = {"method": self.command, "path": self.path, "headers": headers, "size": size}
        if self.command == "HEAD":
            return self.say(200, b"")
        status = 418 if path.endswith("/teapot") else 200
        return self.say(status, {**seen, "sha256": whole.hexdigest()}, x_kept="yes")

    def mcp(self):
        body = b"".join(self.pieces())
        tools = {"tools": [{"name": name, "inputSchema": {}} for name in TOOLS]}
        if self.command == "GET":
            self.begin("text/event-stream")
            late = {"jsonrpc": "2.0", "id": 9, "result": tools}
            self.chunk(b"id: 1\ndata: " + json.dumps(late).encode() + b"\n\n")
            if self.headers.get("x-form") == "held":
                return self.beat("/mcp", self.chunk)
            return self.chunk(b"")
        if self.command == "DELETE":
            return self.say(200, {"authorization": digest(self.headers["authorization"])})
        asked = json.loads(body)
        answers = []
        for message in asked if isinstance(asked, list) else [asked]:
            if "id" not in message:
                continue
            method, result = message.get("method"), {}
            if method == "initialize":
                result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                          "serverInfo": {"name": "t", "version": "1"}}
            if method == "tools/list":
                result = tools
            if method == "tools/call":
                called.append(message["params"]["name"])
                seen = digest(self.headers["authorization"] or "")
                result = {"content": [{"type": "text", "text": seen}]}
            answers.append({"jsonrpc": "2.0", "id": message["id"], "result": result})
        if not answers:
            return self.say(202, b"")
        answer = answers if isinstance(asked, list) else answers[0]
        if self.headers.get("x-form") != "events":
            return self.say(200, answer, mcp_session_id="s1")
        self.begin("text/event-stream")
        for part in (b": hello\n\nevent: mess", b"age\ndata: ", json.dumps(answer).encode(), b"\n\n"):
            self.chunk(part)
        self.chunk(b"")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = any

    def log_message(self, *_):
        pass


class Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, *_):
        pass


def certificates(directory: pathlib.Path) -> str:
    """Of the hosts, with their key, by the authority in `ca.pem`."""
    key, names = ("-newkey", "rsa:2048", "-nodes", "-keyout"), directory / "names"
    proven = [name for name in ZONE if name != "unproven.test"]
    names.write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in proven))
    ca, ca_key, own = (str(directory / name) for name in ("ca.pem", "ca.key", "own.pem"))
    request = str(directory / "request")
    run("openssl", "req", "-x509", "-days", "2", "-subj", "/CN=ca", *key, ca_key, "-out", ca)
    run("openssl", "req", "-subj", "/CN=outside", *key, own, "-out", request)
    line = ["openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key]
    signed = run(*line, "-CAcreateserial", "-days", "2", "-extfile", str(names))
    with open(own, "ab") as file:
        file.write(signed.stdout)
    return own


@contextlib.contextmanager
def upstream(directory: pathlib.Path):
    """Yields where the authority's certificate is."""
    directory.mkdir(parents=True, exist_ok=True)
    pem = certificates(directory)
    program = [str(pathlib.Path(__file__).resolve()), pem]
    addresses = (f"{PUBLIC}/25", f"{PRIVATE}/32")
    with beyond(NAME, f"{OWN}/25", *addresses, program=program):
        yield str(directory / "ca.pem")


if __name__ == "__main__":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    secure = Threads(("0.0.0.0", 443), Api)
    secure.socket = context.wrap_socket(
        secure.socket, server_side=True, do_handshake_on_connect=False
    )
    serve_names(PUBLIC, address_of)
    print("ready", flush=True)
    secure.serve_forever()
