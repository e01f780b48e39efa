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
import ssl
import subprocess
import sys

from beyond import beyond, run, serve_names

NAME = "pfgithost"
#: A part of the network that no other outside of this directory has.
OWN, PUBLIC = "198.51.100.65", "198.51.100.66"
HOSTS = ("github.com", "thief.test")
AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@b.test")
REPOSITORIES = ("private/code", "open/code")
#: Every header that could be a password, by the host that it was sent to.
told: list[str] = []


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
    program = [str(pathlib.Path(__file__).resolve()), directory, password]
    with beyond(NAME, f"{OWN}/26", f"{PUBLIC}/26", program=program):
        yield lambda text: commit(directory / "private/code", text)


if __name__ == "__main__":
    serve_names(PUBLIC, lambda name, _: PUBLIC if name in HOSTS else None)
    web = http.server.ThreadingHTTPServer((PUBLIC, 443), Git)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    directory = pathlib.Path(sys.argv[1])
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    web.socket = context.wrap_socket(web.socket, server_side=True)
    print("ready", flush=True)
    web.serve_forever()
