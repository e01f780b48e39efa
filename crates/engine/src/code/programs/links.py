# What the supervisor holds: relays of runs, and the worker. Joined behind interpreter.py, whose imports,
# bounds and `encode` it uses.


class Run:
    """One connection of a relay: a request that waits or is under way."""

    def __init__(self, link):
        self.link = link
        self.inbox = b""
        self.request = None
        self.after = ()
        self.patience = None
        self.deadline = None
        self.began = None
        # Whether the worker is at it: an interrupt that comes before would be lost on it.
        self.executes = False
        self.interrupted = None
        self.cause = None
        self.room = STREAMS_MAX
        self.outputs = 0
        self.outbox = bytearray()
        self.interest = select.POLLIN
        self.over = False
        self.gone = False

    def send(self, event):
        self.send_line(encode(event))

    def send_line(self, line):
        if not self.gone:
            self.outbox += line
            self.flush()

    def flush(self):
        """Gives the relay what it takes now. While no server reads, the rest waits here: what one
        run tells is bounded."""
        try:
            while self.outbox:
                del self.outbox[:self.link.send(self.outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True
            self.outbox.clear()

    def close(self):
        try:
            self.link.close()
        except OSError:
            pass


class Worker:
    def __init__(self, pid, link, acks, out, err):
        self.pid = pid
        self.link = link
        self.acks = acks
        self.out = out
        self.err = err
        self.inbox = b""
        self.text = {
            stream: codecs.getincrementaldecoder("utf-8")("replace")
            for stream in ("stdout", "stderr")
        }

    def fds(self):
        return (self.link.fileno(), self.out, self.err)


def kill(pid, number):
    """The worker and what it started in its own process group."""
    for send in (os.killpg, os.kill):
        try:
            send(pid, number)
            return
        except OSError:
            pass


def same_user(link):
    pid_uid_gid = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(pid_uid_gid[4:8], sys.byteorder) == os.geteuid()


def listen(name):
    context, _, generation = name.rpartition("-")
    for base in ("/dev/shm", "/tmp"):
        directory = base + "/.pinfold-" + name
        # What the context's last interpreter left.
        before = "%s/.pinfold-%s-%d" % (base, context, int(generation) - 1)
        for remove, path in ((os.unlink, before + "/socket"), (os.rmdir, before)):
            try:
                remove(path)
            except OSError:
                pass
        try:
            os.mkdir(directory, 0o700)
            os.chmod(directory, 0o700)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(directory + "/socket")
            listener.listen(QUEUE_MAX)
            listener.setblocking(False)
            return directory, listener
        except OSError as error:
            refusal = error
    sys.exit("no place for the interpreter's socket: %s" % refusal)
