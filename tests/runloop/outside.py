"""An outside of this suite's own: a network namespace with a name server and a web server.

Run as a program it is what runs in there.
"""

import contextlib
import http.server
import pathlib
import socket
import socketserver
import struct
import subprocess
import sys
import threading

NAME = "pfrunloop"
OWN, PUBLIC = "198.51.100.1", "198.51.100.2"


class Names(socketserver.BaseRequestHandler):
    """Every name below `outside.test` is here."""

    def handle(self):
        question, sock = self.request
        end = question.index(b"\0", 12) + 5
        labels, kind = question[12 : end - 4], struct.unpack("!H", question[end - 4 : end - 2])[0]
        known = labels.lower().endswith(b"\x07outside\x04test\0")
        records = int(known and kind == 1)
        head = struct.pack("!HHHHH", 0x8180 | (0 if known else 3), 1, records, 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(PUBLIC)
        sock.sendto(question[:2] + head + question[12:end] + record * records, self.client_address)


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"here")

    def log_message(self, *_):
        pass


def run(*line):
    subprocess.run(line, check=True, capture_output=True)


def remove():
    for what in ("link", "netns"):
        subprocess.run(["ip", what, "del", NAME], capture_output=True)


@contextlib.contextmanager
def outside():
    remove()
    run("ip", "netns", "add", NAME)
    run("ip", "link", "add", NAME, "type", "veth", "peer", "name", "out0", "netns", NAME)
    run("ip", "addr", "add", f"{OWN}/24", "dev", NAME)
    run("ip", "link", "set", NAME, "up")
    inside = ("ip", "netns", "exec", NAME)
    run(*inside, "ip", "addr", "add", f"{PUBLIC}/24", "dev", "out0")
    run(*inside, "ip", "link", "set", "out0", "up")
    line = [*inside, sys.executable, str(pathlib.Path(__file__).resolve())]
    servers = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        assert servers.stdout.readline() == "ready\n"
        yield
    finally:
        servers.kill()
        servers.wait()
        servers.stdout.close()
        remove()


if __name__ == "__main__":
    names = socketserver.ThreadingUDPServer((PUBLIC, 53), Names)
    threading.Thread(target=names.serve_forever, daemon=True).start()
    web = http.server.ThreadingHTTPServer((PUBLIC, 80), Page)
    print("ready", flush=True)
    web.serve_forever()
