"""A terminal over WebSocket. Needs the library `websockets`: `pip install pinfold[pty]`."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any, Literal

from pinfold._async._io import connect_websocket
from pinfold._async.http import AsyncHttp
from pinfold._core import answer, pty
from pinfold._core.call import Call, utf8
from pinfold._core.pty import PtyEvent, PtyExit, PtyReady
from pinfold.errors import (
    BrokenConnectionError,
    ConfigurationError,
    ConnectionFailedError,
    ProtocolError,
)
from pinfold.types import CommandFacts


class AsyncPty:
    """An open terminal. Closing it leaves the command running; attach again by its id."""

    def __init__(self, socket: Any, command: CommandFacts) -> None:
        self._socket = socket
        self._ended = False
        self.command = command
        """The command behind it, as it was when the terminal opened or when it told its end."""

    def __aiter__(self) -> AsyncPty:
        return self

    async def __anext__(self) -> PtyEvent:
        while not self._ended:
            event = await _receive(self._socket)
            if isinstance(event, PtyReady):
                raise ProtocolError("a terminal began twice")
            if isinstance(event, PtyExit):
                self._ended = True
                self.command = event.command
                await self.aclose()
            if event is not None:
                return event
        raise StopAsyncIteration

    async def write(self, data: bytes | str) -> None:
        """Types."""
        await _send(self._socket, utf8(data) if isinstance(data, str) else bytes(data))

    async def resize(self, rows: int, cols: int) -> None:
        """Changes the terminal's size."""
        await _send(self._socket, pty.control(type="resize", rows=rows, cols=cols))

    async def signal(self, signal: str) -> None:
        """Sends a signal by name or number."""
        await _send(self._socket, pty.control(type="signal", signal=signal))

    async def aclose(self) -> None:
        """Leaves the terminal; the command stays. Repeating this is harmless."""
        with contextlib.suppress(OSError):
            await self._socket.close()

    async def __aenter__(self) -> AsyncPty:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


async def open_pty(http: AsyncHttp, request: Call[None]) -> AsyncPty:
    """A terminal that said it is ready."""
    try:
        from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
    except ImportError:
        raise ConfigurationError(
            "terminals need the library websockets: pip install 'pinfold[pty]'"
        ) from None
    http.check()
    settings = http.settings
    # http becomes ws as https becomes wss.
    url = f"ws{settings.url[4:]}/{request.target}"
    headers = {"authorization": f"Bearer {settings.key}"}
    proxy: Literal[True] | None = None if settings.loopback else True
    try:
        socket = await connect_websocket(url, headers, pty.FRAME_MAX_BYTES, proxy)
    except InvalidStatus as error:
        refusal = error.response
        raise answer.api_error(refusal.status_code, refusal.headers, bytes(refusal.body or b"")) from None
    except (InvalidHandshake, WebSocketException, EOFError) as error:
        raise BrokenConnectionError(f"no terminal opens at {settings.url}: {error}") from None
    except (OSError, TimeoutError) as error:
        raise ConnectionFailedError(f"nothing answers at {settings.url}: {error}") from None
    try:
        first = await _receive(socket)
        if not isinstance(first, PtyReady):
            raise ProtocolError("a terminal did not begin with `ready`")
    except BaseException:
        with contextlib.suppress(OSError):
            await socket.close()
        raise
    return AsyncPty(socket, first.command)


async def _receive(socket: Any) -> PtyEvent | PtyReady | None:
    from websockets.exceptions import WebSocketException

    try:
        frame = await socket.recv()
    except (WebSocketException, OSError, EOFError) as error:
        raise BrokenConnectionError(f"the connection to the terminal broke off: {error}") from None
    return pty.event(frame)


async def _send(socket: Any, frame: bytes | str) -> None:
    from websockets.exceptions import WebSocketException

    try:
        await socket.send(frame)
    except (WebSocketException, OSError, EOFError) as error:
        raise BrokenConnectionError(f"the connection to the terminal broke off: {error}") from None
