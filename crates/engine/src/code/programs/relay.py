# One run of code: hands its request to the context's interpreter and copies the answer, line by
# line as JSON, to stdout. TERM asks the interpreter to interrupt the run.
#
# Started for each run, so it imports nothing but what is compiled in. Ends with 0 when the
# interpreter said how the run ended, with 69 where there is none or it took nothing, and with 70
# where it was gone in the middle.
import _signal
import _socket
import posix
import sys

# More than the last line of a run.
LAST_BYTES = 512


def connect(name):
    for base in ("/dev/shm", "/tmp"):
        directory = base + "/.pinfold-" + name
        try:
            stat = posix.lstat(directory)
            # A directory of ours that nobody else may enter.
            if stat.st_mode & 0o170077 != 0o040000 or stat.st_uid != posix.geteuid():
                continue
            link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            link.connect(directory + "/socket")
            return link
        except OSError:
            continue
    return None


def main():
    link = connect(sys.argv[1])
    if link is None:
        posix._exit(69)

    asked = sent = False

    def interrupt(signum, frame):
        nonlocal asked
        asked = True
        if sent:
            ask()

    def ask():
        try:
            link.send(b"interrupt\n")
        except OSError:
            pass

    _signal.signal(_signal.SIGTERM, interrupt)
    _signal.signal(_signal.SIGINT, interrupt)
    last = b""
    try:
        link.sendall("".join(sys.argv[2:]).encode("utf-8", "surrogateescape") + b"\n")
        # Not before: it would lie in the middle of the request.
        sent = True
        if asked:
            ask()
        while True:
            data = link.recv(65536)
            if not data:
                break
            last = (last + data)[-LAST_BYTES:]
            while data:
                data = data[posix.write(1, data):]
    except OSError:
        pass
    posix._exit(0 if is_complete(last) else 70 if last else 69)


def is_complete(last):
    line = last.rstrip(b"\n").rpartition(b"\n")[2]
    return line.replace(b" ", b"").startswith(b'{"t":"complete"')


main()
