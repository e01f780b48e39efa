# Joined behind interpreter.py, whose imports, bounds and `encode` it uses.

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
                with lock:
                    link.sendall(b"executing 0 \n")
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
