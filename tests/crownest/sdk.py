"""One way to call both clients of the SDK, so that each scenario is written once."""

import asyncio
import contextlib
import inspect

from crownest import AsyncCrowNest, CrowNest


class Sync:
    """Each call of the sync client in a thread, so that scenarios can do several at once."""

    name = "sync"

    def client(self, **options) -> CrowNest:
        return CrowNest(**options)

    async def __call__(self, function, *args, **options):
        return await asyncio.to_thread(function, *args, **options)

    async def each(self, function, *args, **options):
        events = await asyncio.to_thread(function, *args, **options)
        done = object()
        try:
            while (event := await asyncio.to_thread(next, events, done)) is not done:
                yield event
        finally:
            events.close()

    async def close(self, client) -> None:
        client.close()


class Async:
    name = "async"

    def client(self, **options) -> AsyncCrowNest:
        return AsyncCrowNest(**options)

    async def __call__(self, function, *args, **options):
        result = function(*args, **options)
        return await result if inspect.isawaitable(result) else result

    async def each(self, function, *args, **options):
        async with contextlib.aclosing(function(*args, **options)) as events:
            async for event in events:
                yield event

    async def close(self, client) -> None:
        await client.aclose()
