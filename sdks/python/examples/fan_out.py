"""Twenty sandboxes at once, each with a piece of the work."""

import asyncio

from pinfold import AsyncClient


async def count(client: AsyncClient, number: int) -> int:
    """One sandbox's share."""
    async with client.sandboxes.create(memory_mib=64, metadata={"job": "fan-out"}) as sandbox:
        run = await sandbox.run(f"seq {number * 100} {number * 100 + 99} | wc -l", check=True)
        return int(run.stdout)


async def main() -> None:
    """Everything."""
    async with AsyncClient.local() as client:
        shares = await asyncio.gather(*(count(client, number) for number in range(20)))
        print(f"{len(shares)} sandboxes counted {sum(shares)} lines")


asyncio.run(main())
