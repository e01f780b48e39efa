"""A TCP proxy that cuts connections, as bad networks do."""

import socket
import threading


class Proxy:
    """Forwards to `port`; each answer is cut behind as many bytes as `cuts` next says (None: not)."""

    def __init__(self, port: int, cuts) -> None:
        self.target = port
        self.cuts = iter(cuts)
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            cut = next(self.cuts, None)
            upstream = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=_pump, args=(client, upstream, None), daemon=True).start()
            threading.Thread(target=_pump, args=(upstream, client, cut), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, cut: int | None) -> None:
    passed = 0
    try:
        while data := source.recv(65536):
            if cut is not None and passed + len(data) >= cut:
                sink.sendall(data[: cut - passed])
                break
            sink.sendall(data)
            passed += len(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        end.close()
