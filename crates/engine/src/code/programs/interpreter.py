# The Python interpreter of a code context, in two processes.
#
#   relay (one a run) --unix socket--> supervisor --socketpair--> worker: runs code, keeps variables
#                                        |  ^ pipes on the worker's stdout and stderr
#
# The supervisor never runs a line of the user's code. It takes runs one after the other, gathers
# what the worker and its children write, interrupts and ends the worker, and makes a new one when
# it dies. Bounds: 64 runs wait, 512 KiB a request, 8 MiB of stdout and stderr and 16 MiB of outputs
# a run. What is written while no run is under way goes to the interpreter's own stdout.
import sys

# The working directory may hold files named like modules of the standard library.
PATH = [entry for entry in sys.path if entry]
sys.path[:] = PATH

import codecs
import json
import os
import select
import signal
import socket
import time

STREAMS_MAX = 8 << 20
CHUNK = 32 << 10
DRAIN_MAX = 1 << 20
REQUEST_MAX = 2 << 20
QUEUE_MAX = 64
# Ids of so many runs that came are remembered.
SEEN_MAX = 4 * QUEUE_MAX
LINE_MAX = 10 << 20
OUTPUTS_MAX = 16 << 20
# Bytes of a line that count as one of output. Escapes take up to six, and all lines of a run have to
# fit into its journal, the last one above all.
ESCAPED = 3
# Of runs that have ended and whose relay has not read all: beyond this the next one waits.
OUTBOX_MAX = 64 << 20
INTERRUPT_GRACE = 3.0
# How long a run waits for one that was accepted before it and has not come: its relay may have died.
EARLIER_GRACE = 5.0


def encode(event):
    # ASCII only, so that no line separator of Unicode and no surrogate can break a line. One that
    # stands alone is no character and becomes a question mark.
    line = json.dumps(event)
    if "\\ud" in line:
        text = json.dumps(event, ensure_ascii=False).encode("utf-8", "replace")
        line = json.dumps(json.loads(text))
    return line.encode("ascii") + b"\n"


def say(event):
    os.write(1, encode(event))


class Supervisor:
    def __init__(self, name, lost):
        self.directory, self.listener = listen(name)
        self.poll = select.poll()
        self.poll.register(self.listener, select.POLLIN)
        self.runs = {}
        self.queue = []
        self.seen = {}
        self.current = None
        self.worker = None
        self.count = 0
        # Whether variables of an earlier worker have been lost since the last run.
        self.lost = lost

    # -- the worker ------------------------------------------------------------------------------

    def start_worker(self):
        ours, theirs = socket.socketpair()
        acks, their_acks = socket.socketpair()
        out, their_out = os.pipe()
        err, their_err = os.pipe()
        pid = os.fork()
        if pid == 0:
            self.listener.close()
            for run in self.runs.values():
                run.close()
            for fd in (out, err):
                os.close(fd)
            ours.close()
            acks.close()
            os.dup2(their_out, 1)
            os.dup2(their_err, 2)
            for fd in (their_out, their_err):
                os.close(fd)
            os.setsid()
            sys.path.insert(0, "")
            sys.argv = [""]
            work(theirs, their_acks)
            os._exit(0)
        theirs.close()
        their_acks.close()
        acks.setblocking(False)
        for fd in (their_out, their_err):
            os.close(fd)
        self.worker = Worker(pid, ours, acks, out, err)
        for fd in self.worker.fds():
            os.set_blocking(fd, False)
            self.poll.register(fd, select.POLLIN)
        self.count = 0

    def end_worker(self):
        """Takes leave of one that has died: what it wrote last, and why it ended."""
        worker, self.worker = self.worker, None
        kill(worker.pid, signal.SIGKILL)
        _, status = os.waitpid(worker.pid, 0)
        self.drain(worker)
        for fd in worker.fds():
            try:
                self.poll.unregister(fd)
            except KeyError:
                pass
        os.close(worker.out)
        os.close(worker.err)
        worker.link.close()
        worker.acks.close()
        self.lost = True
        return status

    def worker_died(self):
        status = self.end_worker()
        run = self.current
        if run is None:
            return
        if run.cause == "timed_out":
            text = "the run did not end within %g s of its interrupt, so its interpreter was ended" \
                % INTERRUPT_GRACE
        elif run.cause is not None:
            text = "the interpreter was ended, because the run did not heed its interrupt"
        elif os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            try:
                word = signal.Signals(number).name
            except ValueError:
                word = "signal %d" % number
            text = "the interpreter was ended by %s while it ran this code" % word
        else:
            text = "the interpreter exited with code %d while it ran this code" \
                % os.WEXITSTATUS(status)
        text += "; its variables are gone, and the next run begins with a fresh one"
        run.send({"t": "error", "name": "InterpreterDied", "message": text, "traceback": ""})
        self.finish(run.cause or "died")

    def drain(self, worker):
        for fd, stream in ((worker.out, "stdout"), (worker.err, "stderr")):
            left = DRAIN_MAX
            while left > 0:
                try:
                    data = os.read(fd, CHUNK)
                except OSError:
                    break
                if not data:
                    try:
                        self.poll.unregister(fd)
                    except KeyError:
                        pass
                    break
                left -= len(data)
                self.wrote(worker, stream, data)

    def wrote(self, worker, stream, data):
        run = self.current
        if run is None:
            try:
                os.write(1, data)
            except OSError:
                pass
            return
        text = worker.text[stream].decode(data)
        if run.room <= 0 or not text:
            return
        line = encode({"t": stream, "d": text})
        run.room -= max(len(data), len(line) // ESCAPED)
        run.send_line(line)
        if run.room <= 0:
            run.send({"t": "truncated", "max": STREAMS_MAX})

    def worker_said(self):
        worker = self.worker
        try:
            data = worker.link.recv(1 << 18)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        worker.inbox += data
        while True:
            line, newline, rest = worker.inbox.partition(b"\n")
            if not newline:
                break
            worker.inbox = rest
            self.drain(worker)
            self.take(worker, line)
        if self.worker is worker and (not data or len(worker.inbox) > LINE_MAX):
            self.worker_died()

    def take(self, worker, line):
        """One line of the worker: `kind number json`."""
        kind, _, rest = line.partition(b" ")
        number, _, body = rest.partition(b" ")
        run = self.current
        if kind == b"executing":
            if run is not None:
                run.executes = True
                if run.interrupted is not None:
                    kill(worker.pid, signal.SIGINT)
            return
        if kind == b"event" and run is not None:
            run.outputs += len(body)
            if run.outputs <= OUTPUTS_MAX + LINE_MAX:
                run.send_line(body + b"\n")
        elif kind == b"done" and run is not None:
            for stream in ("stdout", "stderr"):
                tail = worker.text[stream].decode(b"", True)
                worker.text[stream].reset()
                if tail and run.room > 0:
                    run.send({"t": stream, "d": tail})
            status = body.decode("ascii", "replace")
            self.finish(run.cause or ("error" if status == "error" else "ok"))
            return
        try:
            worker.acks.send(number + b"\n")
        except OSError:
            pass

    # -- runs ------------------------------------------------------------------------------------

    def accept(self):
        try:
            link, _ = self.listener.accept()
        except OSError:
            return
        # The engine admits fewer at once, but those that it admits at one instant are not counted yet.
        if len(self.runs) > 2 * QUEUE_MAX or not same_user(link):
            link.close()
            return
        link.setblocking(False)
        self.runs[link.fileno()] = Run(link)
        self.poll.register(link, select.POLLIN)

    def relay_said(self, fd):
        run = self.runs[fd]
        try:
            data = run.link.recv(1 << 18)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if run.over:
            # Nothing it says matters any more, but that it has gone.
            run.gone = not data
            self.drop(run)
            return
        run.inbox += data
        if not data or len(run.inbox) > REQUEST_MAX:
            run.gone = True
            self.interrupt(run, "interrupted")
            # Its end is known; it must not wake us again.
            if run is self.current:
                self.poll.unregister(fd)
                run.interest = None
            return
        while True:
            line, newline, rest = run.inbox.partition(b"\n")
            if not newline:
                return
            run.inbox = rest
            if run.request is None:
                self.requested(run, line)
            else:
                self.interrupt(run, "interrupted")
            if fd not in self.runs:
                return

    def requested(self, run, line):
        try:
            request = json.loads(line)
            timeout = float(request["timeout"])
            request["code"].encode, request["id"].encode
            run.after = frozenset(request["after"])
        except (ValueError, KeyError, TypeError, AttributeError):
            self.drop(run)
            return
        run.request = request
        run.deadline = time.monotonic() + timeout
        run.patience = time.monotonic() + EARLIER_GRACE
        self.seen[request["id"]] = None
        if len(self.seen) > SEEN_MAX:
            del self.seen[next(iter(self.seen))]
        # Before those that were accepted behind it and came first.
        behind = (at for at, other in enumerate(self.queue) if request["id"] in other.after)
        self.queue.insert(next(behind, len(self.queue)), run)
        self.next()

    def next(self):
        while self.current is None and self.queue and not self.is_full() \
                and self.is_due(self.queue[0]):
            run = self.queue.pop(0)
            if self.worker is None:
                self.start_worker()
            # What threads and children wrote until now belongs to no run.
            self.drain(self.worker)
            for stream in ("stdout", "stderr"):
                self.worker.text[stream].reset()
            self.count += 1
            run.began = time.monotonic()
            self.current = run
            run.send({"t": "begin", "n": self.count, "restarted": self.lost})
            self.lost = False
            order = {"n": self.count, "code": run.request["code"], "cwd": run.request.get("cwd")}
            try:
                # A worker that does not read must not hold up its supervisor.
                self.worker.link.settimeout(INTERRUPT_GRACE)
                self.worker.link.sendall(json.dumps(order).encode("ascii") + b"\n")
                self.worker.link.setblocking(False)
            except OSError:
                self.worker_died()

    def is_full(self):
        """Whether what relays have not read yet is so much that no run may begin."""
        return sum(len(run.outbox) for run in self.runs.values()) > OUTBOX_MAX

    def is_due(self, run):
        """Whether all that were accepted before it have come, or had their time to."""
        return run.patience <= time.monotonic() or all(id in self.seen for id in run.after)

    def interrupt(self, run, cause):
        """Asks a run to end; one that waits ends at once."""
        if run is not self.current:
            if run in self.queue:
                self.queue.remove(run)
                text = "the run was ended before it began: earlier runs of its context took too long"
                run.send({"t": "error", "name": "NotBegun", "message": text, "traceback": ""})
                run.send({"t": "complete", "status": cause, "n": 0, "ms": 0, "kept": True})
            self.drop(run)
            return
        now = time.monotonic()
        if run.interrupted is None:
            run.interrupted = now
            run.cause = cause
        if run.executes:
            kill(self.worker.pid, signal.SIGINT)

    def finish(self, status):
        run, self.current = self.current, None
        took = (time.monotonic() - run.began) * 1000
        run.send({
            "t": "complete", "status": status, "n": self.count, "ms": round(took, 3),
            "kept": self.worker is not None,
        })
        self.drop(run)
        self.next()

    def drop(self, run):
        """Takes leave of a run; its relay stays until it has all that it was told."""
        run.over = True
        if run.outbox and not run.gone:
            return
        fd = run.link.fileno()
        if self.runs.pop(fd, None) is not None:
            try:
                self.poll.unregister(fd)
            except KeyError:
                pass
        run.close()

    def on_time(self):
        """Ends what is over its time; how long nothing else can be due, in milliseconds."""
        now = time.monotonic()
        for run in [run for run in self.queue if run.deadline <= now]:
            self.interrupt(run, "timed_out")
        run = self.current
        if run is not None and run.interrupted is None and run.deadline <= now:
            self.interrupt(run, "timed_out")
        elif run is not None and run.interrupted is not None \
                and run.interrupted + INTERRUPT_GRACE <= now:
            kill(self.worker.pid, signal.SIGKILL)
            self.worker_died()
        # The first may have waited long enough, or another has become the first.
        self.next()
        due = [run.deadline for run in self.queue]
        if self.current is None and self.queue and not self.is_full():
            due.append(self.queue[0].patience)
        run = self.current
        if run is not None:
            due.append(run.deadline if run.interrupted is None
                       else run.interrupted + INTERRUPT_GRACE)
        return max(0, (min(due) - time.monotonic()) * 1000 + 1) if due else None

    def serve(self):
        while True:
            patience = self.on_time()
            self.listen_to_relays()
            for fd, what in self.poll.poll(patience):
                worker = self.worker
                if fd == self.listener.fileno():
                    self.accept()
                elif worker is not None and fd == worker.link.fileno():
                    self.worker_said()
                elif worker is not None and fd in (worker.out, worker.err):
                    self.drain(worker)
                elif fd in self.runs:
                    run = self.runs[fd]
                    if what & select.POLLOUT:
                        run.flush()
                        if run.over:
                            self.drop(run)
                    if fd in self.runs and what & ~select.POLLOUT:
                        self.relay_said(fd)

    def listen_to_relays(self):
        for fd, run in self.runs.items():
            wanted = (0 if run.over else select.POLLIN) | (select.POLLOUT if run.outbox else 0)
            if run.interest not in (None, wanted):
                run.interest = wanted
                self.poll.modify(fd, wanted)


def serve():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    supervisor = Supervisor(sys.argv[1], sys.argv[2] == "again")
    supervisor.start_worker()
    say({"t": "ready", "version": sys.version.split()[0]})
    supervisor.serve()
