"""A GitHub of this suite's own: `github.com` under TLS, in a network namespace with a name server.

Repositories below `private` want the password that the program was given, those below `moved` send whoever
asks to another host, which asks for a password too. What each was told is at `/told`. Run as a program it
is what runs in there.
"""

import base64
import contextlib
import http.server
import os
import pathlib
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading

NAME = "pfgithost"
#: A part of the network that no other outside of this directory has.
OWN, PUBLIC = "198.51.100.65", "198.51.100.66"
HOSTS = ("github.com", "thief.test")
AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@b.test")
REPOSITORIES = ("private/code", "open/code")
#: Every header that could be a password, by the host that it was sent to.
told: list[str] = []


class Names(socketserver.BaseRequestHandler):
    def handle(self):
        question, sock = self.request
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode().lower())
            at += 1 + question[at]
        kind = struct.unpack("!H", question[at + 1 : at + 3])[0]
        known = ".".join(labels) in HOSTS
        records = int(known and kind == 1)
        head = struct.pack("!HHHHH", 0x8180 | (0 if known else 3), 1, records, 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(PUBLIC)
        sock.sendto(question[:2] + head + question[12 : at + 5] + record * records, self.client_address)


class Git(http.server.BaseHTTPRequestHandler):
    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        host, given = self.headers["host"], self.headers.get("authorization")
        if given:
            told.append(f"{host} {given}")
        if self.path == "/told":
            return self.answer(200, body="\n".join(told).encode())
        if self.path.startswith("/moved/"):
            return self.answer(302, [("location", f"https://thief.test{self.path[6:]}")])
        wanted = base64.b64encode(b"x-access-token:" + sys.argv[2].encode()).decode()
        secret = host == "thief.test" or self.path.startswith("/private/")
        if secret and (host == "thief.test" or given != f"Basic {wanted}"):
            return self.answer(401, [("www-authenticate", 'Basic realm="git"')])
        self.backend()

    do_GET = do_POST = serve

    def backend(self):
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("content-length") or 0)
        done = subprocess.run(
            ["git", "http-backend"],
            input=self.rfile.read(length),
            capture_output=True,
            env={
                **os.environ,
                "GIT_PROJECT_ROOT": sys.argv[1],
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory",
                "GIT_CONFIG_VALUE_0": "*",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("content-type", ""),
                "CONTENT_LENGTH": str(length),
                "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
                "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
            },
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n") if line]
        status = [value for name, value in fields if name == "Status"]
        rest = [field for field in fields if field[0] != "Status"]
        self.answer(int(status[0][:3]) if status else 200, rest, body)

    def log_message(self, *_):
        pass


def run(*line, **options):
    subprocess.run(line, check=True, capture_output=True, **options)


def remove():
    for what in ("link", "netns"):
        subprocess.run(["ip", what, "del", NAME], capture_output=True)


def commit(directory, text):
    """The next one of its first branch."""
    work = directory.with_suffix(".work")
    (work / "file").write_text(f"{text}\n")
    run("git", "-C", work, *AUTHOR, "commit", "-qam", text)
    run("git", "-C", work, "push", "-q", f"{directory}.git", "main")


def repository(directory):
    """One with two branches."""
    work = directory.with_suffix(".work")
    run("git", "init", "-q", "-b", "main", work)
    (work / "file").write_text("of main\n")
    run("git", "-C", work, "add", ".")
    run("git", "-C", work, *AUTHOR, "commit", "-qm", "one")
    run("git", "-C", work, "checkout", "-qb", "other")
    (work / "file").write_text("of other\n")
    run("git", "-C", work, *AUTHOR, "commit", "-qam", "two")
    run("git", "-C", work, "checkout", "-q", "main")
    directory.parent.mkdir(parents=True, exist_ok=True)
    run("git", "clone", "-q", "--bare", work, f"{directory}.git")


@contextlib.contextmanager
def githost(directory, password):
    for name in REPOSITORIES:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        repository(directory / name)
    key = ("-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem")
    run("openssl", "req", "-x509", *key, "-days", "2", "-subj", "/CN=github.com", cwd=directory)
    remove()
    run("ip", "netns", "add", NAME)
    run("ip", "link", "add", NAME, "type", "veth", "peer", "name", "out0", "netns", NAME)
    run("ip", "addr", "add", f"{OWN}/26", "dev", NAME)
    run("ip", "link", "set", NAME, "up")
    inside = ("ip", "netns", "exec", NAME)
    run(*inside, "ip", "addr", "add", f"{PUBLIC}/26", "dev", "out0")
    run(*inside, "ip", "link", "set", "out0", "up")
    line = [*inside, sys.executable, str(pathlib.Path(__file__).resolve()), directory, password]
    servers = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        assert servers.stdout.readline() == "ready\n"
        yield lambda text: commit(directory / "private/code", text)
    finally:
        servers.kill()
        servers.wait()
        servers.stdout.close()
        remove()


if __name__ == "__main__":
    names = socketserver.ThreadingUDPServer((PUBLIC, 53), Names)
    threading.Thread(target=names.serve_forever, daemon=True).start()
    web = http.server.ThreadingHTTPServer((PUBLIC, 443), Git)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    directory = pathlib.Path(sys.argv[1])
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    web.socket = context.wrap_socket(web.socket, server_side=True)
    print("ready", flush=True)
    web.serve_forever()
