"""One way to call both clients of the SDK, so that each scenario is written once."""

import asyncio
import importlib.metadata
import inspect

from runloop_api_client import AsyncRunloopSDK, RunloopSDK

VERSION = tuple(int(part) for part in importlib.metadata.version("runloop_api_client").split("."))


class Sync:
    """Each call of the sync client in a thread, so that scenarios can do several at once."""

    name = "sync"
    client = RunloopSDK

    async def __call__(self, function, *args, **options):
        return await asyncio.to_thread(function, *args, **options)

    async def events(self, function, *args, **options):
        return await asyncio.to_thread(lambda: list(function(*args, **options)))

    async def close(self, client) -> None:
        client.close()


class Async:
    name = "async"
    client = AsyncRunloopSDK

    async def __call__(self, function, *args, **options):
        result = function(*args, **options)
        return await result if inspect.isawaitable(result) else result

    async def events(self, function, *args, **options):
        return [event async for event in await function(*args, **options)]

    async def close(self, client) -> None:
        await client.aclose()
