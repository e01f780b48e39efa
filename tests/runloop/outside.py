"""An outside of this suite's own: a network namespace with a name server and a web server.

Run as a program it is what runs in there.
"""

import contextlib
import http.server
import pathlib

from beyond import beyond, serve_names

NAME = "pfrunloop"
OWN, PUBLIC = "198.51.100.1", "198.51.100.2"


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"here")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def outside():
    program = [str(pathlib.Path(__file__).resolve())]
    with beyond(NAME, f"{OWN}/24", f"{PUBLIC}/24", program=program):
        yield


if __name__ == "__main__":
    # Every name below `outside.test` is here.
    serve_names(PUBLIC, lambda name, _: PUBLIC if name.endswith(".outside.test") else None)
    web = http.server.ThreadingHTTPServer((PUBLIC, 80), Page)
    print("ready", flush=True)
    web.serve_forever()
