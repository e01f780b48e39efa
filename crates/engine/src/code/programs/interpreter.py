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
import collections
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
INTERRUPT_GRACE = 3.0
# How long a run waits for one that was accepted before it and has not come: its relay may have died.
EARLIER_GRACE = 5.0


def encode(event):
    # ASCII only, so that no line separator of Unicode and no surrogate can break a line. One that
    # stands alone is no character and becomes a question mark.
    text = json.dumps(event, ensure_ascii=False)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(json.loads(text)).encode("ascii") + b"\n"


def say(event):
    os.write(1, encode(event))


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
        self.interrupted = None
        self.cause = None
        self.room = STREAMS_MAX
        self.outputs = 0
        self.outbox = collections.deque()
        self.interest = select.POLLIN
        self.over = False
        self.gone = False

    def send(self, event):
        self.send_line(encode(event))

    def send_line(self, line):
        if not self.gone:
            self.outbox.append(memoryview(line))
            self.flush()

    def flush(self):
        """Gives the relay what it takes now. While no server reads, the rest waits here: what one
        run tells is bounded."""
        try:
            while self.outbox:
                rest = self.outbox[0][self.link.send(self.outbox[0]):]
                if rest:
                    self.outbox[0] = rest
                else:
                    self.outbox.popleft()
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
        if run.over:
            run.gone = True
            self.drop(run)
            return
        try:
            data = run.link.recv(1 << 18)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
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
        while self.current is None and self.queue and self.is_due(self.queue[0]):
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
        if self.current is None and self.queue:
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


# -- the worker: the only process that runs code -----------------------------------------------------

TEXT_MAX = 1 << 20
BINARY_MAX = 6 << 20
COUNT_MAX = 256
TRACEBACK_MAX = 64 << 10
ROWS_MAX = 1000
# Sources of so many runs are kept for tracebacks.
SOURCES_MAX = 200
REPRS = (
    ("text/html", "_repr_html_"), ("text/markdown", "_repr_markdown_"),
    ("image/svg+xml", "_repr_svg_"), ("image/png", "_repr_png_"),
    ("image/jpeg", "_repr_jpeg_"), ("application/pdf", "_repr_pdf_"),
    ("text/latex", "_repr_latex_"), ("application/json", "_repr_json_"),
    ("application/javascript", "_repr_javascript_"),
)
BINARY = ("image/png", "image/jpeg", "image/gif", "application/pdf")


def work(link, acks):
    import ast
    import base64
    import builtins
    import io
    import linecache
    import threading
    import traceback
    import types

    this = os.getpid()
    main = types.ModuleType("__main__")
    main.__builtins__ = builtins
    sys.modules["__main__"] = main
    names = main.__dict__
    os.environ.setdefault("MPLBACKEND", "Agg")
    lock = threading.RLock()

    class State:
        executing = False
        number = 0
        acked = 0
        inbox = b""
        acks = b""
        # The main thread must not be interrupted in the middle of a line; it is behind it.
        quiet = False
        pending = False
        loop = None
        flags = 0
        room = OUTPUTS_MAX
        shown = 0
        figures = ()
        last = None

    def on_interrupt(signum, frame):
        if State.quiet:
            State.pending = True
        elif State.executing:
            raise KeyboardInterrupt

    def receive():
        data = link.recv(1 << 18)
        if not data:
            os._exit(0)
        State.inbox += data

    def tell(kind, body=b""):
        """Tells the supervisor and waits until it has taken that, and all written before."""
        if os.getpid() != this:
            return
        is_main = threading.current_thread() is threading.main_thread()
        with lock:
            State.quiet = State.quiet or is_main
            State.number += 1
            number = State.number
            link.sendall(b"%s %d %s\n" % (kind, number, body))
            while State.acked < number:
                line, newline, rest = State.acks.partition(b"\n")
                if newline:
                    State.acks = rest
                    State.acked = int(line)
                    continue
                data = acks.recv(4096)
                if not data:
                    os._exit(0)
                State.acks += data
        if is_main:
            State.quiet = False
            if State.pending:
                State.pending = False
                if State.executing:
                    raise KeyboardInterrupt

    class Stream(io.TextIOWrapper):
        """Writes through a pipe like a program's own; keeps order with the other stream."""

        def write(self, text):
            if State.last is not self:
                turn(self)
            return super().write(text)

    def turn(stream):
        if os.getpid() != this:
            State.last = stream
            return
        with lock:
            last, State.last = State.last, stream
            if last is not None:
                try:
                    last.flush()
                except (OSError, ValueError):
                    pass
                tell(b"fence")

    def opened(fd):
        raw = io.BufferedWriter(io.FileIO(fd, "w", closefd=False))
        return Stream(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)

    sys.stdout = sys.__stdout__ = opened(1)
    sys.stderr = sys.__stderr__ = opened(2)
    own_streams = (sys.stdout, sys.stderr)

    def flush():
        for stream in {id(s): s for s in own_streams + (sys.stdout, sys.stderr)}.values():
            try:
                stream.flush()
            except Exception:
                pass

    def no_input(prompt=""):
        raise EOFError("input() is not available here: code of a run has no stdin; put the value "
                       "into the code, or start a command with an open stdin")

    builtins.input = no_input

    # -- outputs ---------------------------------------------------------------------------------

    def png_of(figure):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()

    def is_of(value, module, name):
        return any(kind.__name__ == name and (kind.__module__ or "").startswith(module)
                   for kind in type(value).__mro__)

    def bundle(value):
        """Every form the value offers, by media type. A form that fails is left out."""
        data, rejected = {}, []
        if isinstance(value, type):
            return {"text/plain": repr(value)}, rejected
        mime = getattr(value, "_repr_mimebundle_", None)
        if callable(mime):
            try:
                found = mime(include=None, exclude=None)
                found = found[0] if isinstance(found, tuple) else found
                data.update(found or {})
            except Exception as error:
                rejected.append({"format": "application/x-mimebundle", "reason": failed(error)})
        for form, method in REPRS:
            if form in data:
                continue
            offered = getattr(value, method, None)
            if not callable(offered):
                continue
            try:
                found = offered()
                found = found[0] if isinstance(found, tuple) else found
                if found is not None:
                    data[form] = found
            except NotImplementedError:
                pass
            except Exception as error:
                rejected.append({"format": form, "reason": failed(error)})
        try:
            if is_of(value, "pandas", "DataFrame") and "application/json" not in data:
                rows = value.head(ROWS_MAX).to_json(orient="records", date_format="iso")
                data["application/json"] = json.loads(rows)
            if is_of(value, "matplotlib", "Figure") and "image/png" not in data:
                data["image/png"] = png_of(value)
                State.figures += (value,)
        except Exception as error:
            rejected.append({"format": "application/json", "reason": failed(error)})
        if "text/plain" not in data:
            data["text/plain"] = repr(value)
        return data, rejected

    class TooLarge(ValueError):
        """It is over a bound of ours."""

    def failed(error):
        return "%s: %s" % (type(error).__name__, text_of(error)[:500])

    def fitted(data, rejected):
        """What of it fits, as JSON text by form; and the forms that were cut."""
        kept, cut = {}, []
        for form, value in list(data.items())[:16]:
            form = str(form)[:100]
            try:
                if form == "application/json" or form.endswith("+json"):
                    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
                    if len(text) > TEXT_MAX:
                        raise TooLarge("more than 1 MiB of JSON")
                    kept[form] = json.loads(text.encode("utf-8", "replace"))
                    continue
                if isinstance(value, (bytes, bytearray, memoryview)):
                    value = bytes(value)
                    if form in BINARY or not form.startswith(("text/", "image/svg")):
                        if len(value) > BINARY_MAX:
                            raise TooLarge("more than 6 MiB")
                        kept[form] = base64.b64encode(value).decode("ascii")
                        continue
                    value = value.decode("utf-8", "replace")
                value = value if isinstance(value, str) else str(value)
                if form in BINARY:
                    if len(value) > BINARY_MAX * 4 // 3 + 4:
                        raise TooLarge("more than 6 MiB")
                    value = "".join(value.split())
                elif len(value) > TEXT_MAX:
                    if not form.startswith("text/plain"):
                        raise TooLarge("more than 1 MiB of text")
                    value = value[:TEXT_MAX]
                    cut.append(form)
                kept[form] = value
            except TooLarge as error:
                rejected.append({"format": form, "reason": str(error), "large": True})
            except Exception as error:
                rejected.append({"format": form, "reason": failed(error)})
        return kept, cut

    def show(value, result):
        flush()
        data, rejected = bundle(value)
        emit(data, rejected, result)

    def emit(data, rejected, result):
        kept, cut = fitted(data, rejected)
        State.shown += 1
        event = {"t": "output", "data": kept, "rejected": rejected, "truncated": cut,
                 "result": result}
        line = encode(event)[:-1]
        if State.shown > COUNT_MAX or len(line) > State.room:
            if State.shown > COUNT_MAX + 1:
                return
            reason = "the run shows more than 256 outputs or 16 MiB"
            rejected = [{"format": form, "reason": reason, "large": True} for form in kept] or rejected
            line = encode({"t": "output", "data": {}, "rejected": rejected, "truncated": [],
                           "result": result})[:-1]
            State.shown = max(State.shown, COUNT_MAX + 1)
        State.room -= len(line)
        tell(b"event", line)

    def display(*values, **options):
        """Shows values as outputs of the run, in every form they offer. `raw=True`: each value is
        a dict of media type to content."""
        for value in values:
            if options.get("raw"):
                emit(dict(value), [], False)
            else:
                show(value, False)

    builtins.display = display

    def show_figures(*args, **options):
        """Shows and closes what is drawn and was not shown."""
        plots = sys.modules.get("matplotlib.pyplot")
        if plots is None or not hasattr(plots, "get_fignums"):
            return
        for number in plots.get_fignums():
            figure = plots.figure(number)
            if any(figure is shown for shown in State.figures):
                continue
            try:
                emit({"image/png": png_of(figure), "text/plain": repr(figure)}, [], False)
            except Exception as error:
                emit({}, [{"format": "image/png", "reason": failed(error)}], False)
        plots.close("all")

    class Plots:
        """Lets `show` of matplotlib, once it is imported, show the figures here."""

        @staticmethod
        def find_spec(name, path=None, target=None):
            if name != "matplotlib.pyplot":
                return None
            sys.meta_path.remove(Plots)
            import importlib.util
            spec = importlib.util.find_spec(name)
            if spec is not None and spec.loader is not None:
                execute = spec.loader.exec_module

                def exec_module(module):
                    execute(module)
                    module.show = show_figures

                spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, Plots)

    # -- running -----------------------------------------------------------------------------------

    def text_of(error):
        try:
            return str(error)
        except Exception:
            return "<no text: its __str__ failed>"

    def is_user(filename):
        return filename.startswith("<code ")

    def traced(error):
        """The error's story with the user's frames alone."""
        frames = error.__traceback__
        # Ours come first, and the user's call others from there on; ours may be the last again.
        while frames is not None and not is_user(frames.tb_frame.f_code.co_filename):
            frames = frames.tb_next
        kept, at = None, frames
        while at is not None:
            if at.tb_frame.f_globals is not globals():
                kept = at
            at = at.tb_next
        if kept is not None:
            kept.tb_next = None
        try:
            story = traceback.TracebackException(
                type(error), error, frames, compact=True, capture_locals=False)
            text = "".join(story.format())
        except Exception:
            text = "%s: %s\n" % (type(error).__name__, text_of(error))
        if len(text) > TRACEBACK_MAX:
            half = TRACEBACK_MAX // 2
            text = text[:half] + "\n... (cut) ...\n" + text[-half:]
        return text

    def describe(error):
        if isinstance(error, SystemExit):
            code = error.code
            if code is None or code == 0:
                return None
            message = "the code asked to exit with %s" % (str(code)[:TRACEBACK_MAX],)
            return {"t": "error", "name": "SystemExit", "message": message, "traceback": ""}
        return {"t": "error", "name": type(error).__name__[:200],
                "message": text_of(error)[:TRACEBACK_MAX], "traceback": traced(error)}

    def compiled(tree, filename, mode):
        code = compile(tree, filename, mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | State.flags,
                       dont_inherit=True)
        # `from __future__` holds for the runs that follow.
        State.flags |= code.co_flags & 0x1FE0000
        return code

    def evaluate(code):
        if not code.co_flags & 0x80:
            return eval(code, names)
        import asyncio
        if State.loop is None or State.loop.is_closed():
            State.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(State.loop)
        task = State.loop.create_task(eval(code, names))
        try:
            return State.loop.run_until_complete(task)
        except KeyboardInterrupt:
            task.cancel()
            State.loop.run_until_complete(asyncio.wait([task], timeout=1))
            raise

    def silenced(source, node):
        """Whether a semicolon follows the last expression."""
        lines = source.encode("utf-8", "replace").split(b"\n")
        rest = lines[node.end_lineno - 1][node.end_col_offset:]
        return rest.lstrip().startswith(b";")

    def execute(source, number):
        filename = "<code %d>" % number
        linecache.cache.pop("<code %d>" % (number - SOURCES_MAX), None)
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        tree = compile(source, filename, "exec",
                       ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | State.flags,
                       dont_inherit=True)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = tree.body.pop()
        if tree.body:
            evaluate(compiled(tree, filename, "exec"))
        if last is not None:
            value = evaluate(compiled(ast.Expression(last.value), filename, "eval"))
            if value is not None and not silenced(source, last):
                builtins._ = value
                show(value, True)

    def run(order):
        """One run from its order to its end; answers with the error's event."""
        State.room, State.shown, State.figures, State.last = OUTPUTS_MAX, 0, (), None
        error = None
        before = None
        try:
            try:
                signal.signal(signal.SIGINT, on_interrupt)
                State.executing = True
                if order.get("cwd"):
                    before = os.getcwd()
                    os.chdir(order["cwd"])
                execute(order["code"], order["n"])
                flush()
                show_figures()
            finally:
                State.executing = False
        except BaseException as raised:
            State.executing = False
            error = describe(raised)
            raised.__traceback__ = None
        if os.getpid() != this:
            # A child that the code forked and that came back here.
            flush()
            os._exit(0 if error is None else 1)
        if before is not None:
            try:
                os.chdir(before)
            except OSError:
                pass
        return error

    def after_fork():
        # The child must neither answer for us nor keep our ends open.
        for end in (link, acks):
            try:
                os.close(end.detach())
            except OSError:
                pass

    os.register_at_fork(after_in_child=after_fork)

    while True:
        line, newline, rest = State.inbox.partition(b"\n")
        if not newline:
            try:
                receive()
            except KeyboardInterrupt:
                pass
            continue
        State.inbox = rest
        order = json.loads(line)
        try:
            error = run(order)
        except KeyboardInterrupt:
            error = {"t": "error", "name": "KeyboardInterrupt", "message": "", "traceback": ""}
        State.executing = False
        flush()
        if error is not None:
            tell(b"event", encode(error)[:-1])
        with lock:
            State.number += 1
            link.sendall(b"done %d %s\n" % (State.number, b"error" if error else b"ok"))
            # It is not acknowledged.
            State.acked = State.number


def serve():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    supervisor = Supervisor(sys.argv[1], sys.argv[2] == "again")
    supervisor.start_worker()
    say({"t": "ready", "version": sys.version.split()[0]})
    supervisor.serve()


serve()
