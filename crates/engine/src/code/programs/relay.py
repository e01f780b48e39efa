# One run of code: hands its request to the context's interpreter and copies the answer, line by
# line as JSON, to stdout. TERM asks the interpreter to interrupt the run.
#
# Started for each run, so it imports nothing but what is compiled in. Ends with 0 when the
# interpreter closed the connection, and with 69 where there is none.
import _signal
import _socket
import posix
import sys


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

    def interrupt(signum, frame):
        try:
            link.send(b"interrupt\n")
        except OSError:
            pass

    _signal.signal(_signal.SIGTERM, interrupt)
    _signal.signal(_signal.SIGINT, interrupt)
    try:
        link.sendall("".join(sys.argv[2:]).encode("utf-8", "surrogateescape") + b"\n")
        while True:
            data = link.recv(65536)
            if not data:
                break
            while data:
                data = data[posix.write(1, data):]
    except OSError:
        pass
    posix._exit(0)


main()
