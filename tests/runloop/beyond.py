"""Outsides of these suites' own: programs in network namespaces, and the name servers in there."""

import contextlib
import socket
import socketserver
import struct
import subprocess
import sys
import threading


def run(*line, **options):
    return subprocess.run(line, check=True, capture_output=True, **options)


def remove(name):
    for what in ("link", "netns"):
        subprocess.run(["ip", what, "del", name], capture_output=True)


@contextlib.contextmanager
def beyond(name, own, *addresses, program):
    """Runs `program`, a Python file with its arguments, in the namespace `name` until the end. It has
    `addresses`, of the network that this machine is in with `own`, and prints a line when it is ready."""
    remove(name)
    run("ip", "netns", "add", name)
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "out0", "netns", name)
    run("ip", "addr", "add", own, "dev", name)
    run("ip", "link", "set", name, "up")
    inside = ("ip", "netns", "exec", name)
    for address in addresses:
        run(*inside, "ip", "addr", "add", address, "dev", "out0")
    run(*inside, "ip", "link", "set", "out0", "up")
    for address in addresses:
        # One that is in no common network.
        if address.endswith("/32"):
            run("ip", "route", "add", address, "dev", name)
    line = [*inside, sys.executable, *program]
    servers = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        assert servers.stdout.readline() == "ready\n"
        yield
    finally:
        servers.kill()
        servers.wait()
        servers.stdout.close()
        remove(name)


def serve_names(public, address_of):
    """Answers questions in a thread: `address_of(name, kind)` is an address of IPv4, or None."""

    class Names(socketserver.BaseRequestHandler):
        def handle(self):
            question, sock = self.request
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1 : at + 1 + question[at]].decode().lower())
                at += 1 + question[at]
            kind = struct.unpack("!H", question[at + 1 : at + 3])[0]
            address = address_of(".".join(labels), kind)
            records = int(bool(address) and kind == 1)
            head = struct.pack("!HHHHH", 0x8180 | (0 if address else 3), 1, records, 0, 0)
            # Of no age: who asks again shall see what has changed.
            record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4)
            record += socket.inet_aton(address) if address else b""
            answer = question[:2] + head + question[12 : at + 5] + record * records
            sock.sendto(answer, self.client_address)

    names = socketserver.ThreadingUDPServer((public, 53), Names)
    threading.Thread(target=names.serve_forever, daemon=True).start()
