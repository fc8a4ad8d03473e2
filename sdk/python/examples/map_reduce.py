"""Shards that arrive at a Barrier, and a reducer that waits for all of them, with asyncio.

koncli barrier create mapped --expected 3
python map_reduce.py
"""

from __future__ import annotations

import asyncio

import konductor


async def map_shard(client: konductor.AsyncClient, shard: int) -> int:
    """Does the work of a shard. It arrives under the shard's name, so a retry counts once."""
    try:
        result = shard * shard
    except Exception:
        await client.barrier("mapped").arrive(holder=f"shard-{shard}", outcome="Failed")
        raise
    await client.barrier("mapped").arrive(holder=f"shard-{shard}")
    return result


async def main() -> None:
    async with konductor.AsyncClient() as client:
        shards = [asyncio.create_task(map_shard(client, shard)) for shard in range(3)]
        await client.barrier("mapped").wait(timeout=60)
        print(sum([await shard for shard in shards]))


if __name__ == "__main__":
    asyncio.run(main())
