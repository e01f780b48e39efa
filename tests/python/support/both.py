"""One face for both clients, so that one set of scenarios runs over both.

Scenarios are written for the async client. The sync one hides behind an object that does each call
in a thread once it is awaited, entered or iterated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

from pinfold import AsyncClient, AsyncFiles, Client, Files

_END = object()


def client(flavour: str, url: str, key: str, **options: Any) -> Any:
    """A client with the async face."""
    if flavour == "async":
        return AsyncClient(url, key, **options)
    return _Face(Client(url, key, **options))


def files_of(client: Any, sandbox_id: str) -> Any:
    """Files of a sandbox that need not exist, with the async face."""
    if isinstance(client, AsyncClient):
        return AsyncFiles(client._http, sandbox_id)
    return _Face(Files(client.inner._http, sandbox_id))


def _faced(value: Any) -> Any:
    if isinstance(value, list):
        return [_faced(each) for each in value]
    module = type(value).__module__
    ours = module.startswith("pinfold._sync") or hasattr(value, "send")
    return _Face(value) if ours else value


class _Face:
    """An object of the sync client."""

    def __init__(self, inner: Any) -> None:
        object.__setattr__(self, "inner", inner)

    def __getattr__(self, name: str) -> Any:
        name = "close" if name == "aclose" else name
        value = getattr(self.inner, name)
        return _method(value) if callable(value) else _faced(value)

    def __repr__(self) -> str:
        return repr(self.inner)

    async def __aenter__(self) -> Any:
        return _faced(await asyncio.to_thread(self.inner.__enter__))

    async def __aexit__(self, *error: Any) -> None:
        await asyncio.to_thread(self.inner.__exit__, *error)

    def __aiter__(self) -> AsyncIterator[Any]:
        return _iterate(iter(self.inner))

    async def __anext__(self) -> Any:
        item = await asyncio.to_thread(next, self.inner, _END)
        if item is _END:
            raise StopAsyncIteration
        return _faced(item)


async def _iterate(items: Any) -> AsyncIterator[Any]:
    while (item := await asyncio.to_thread(next, items, _END)) is not _END:
        yield _faced(item)


def _method(function: Callable[..., Any]) -> Callable[..., _Pending]:
    return lambda *args, **kwargs: _Pending(lambda: function(*args, **kwargs))


class _Pending:
    """A call that is yet to be made."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._face: Any = None

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._done().__await__()

    async def _done(self) -> Any:
        return _faced(await asyncio.to_thread(self._call))

    async def __aenter__(self) -> Any:
        self._face = await self._done()
        return await self._face.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        await self._face.__aexit__(*error)

    def __aiter__(self) -> AsyncIterator[Any]:
        return _faced(self._call()).__aiter__()

    def __getattr__(self, name: str) -> Any:
        # Lists and streams are used without being awaited: making them does nothing yet.
        return getattr(_faced(self._call()), name)
