"""Many workers on one Semaphore: each reports to a counter outside of Kubernetes when it is inside.

tests/tests/workers.rs starts it beside the workers of the other SDKs, test_workers.py alone.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import threading

import konductor


def inside(counter: tuple[str, int]) -> None:
    """Goes in and out at the counter, which answers each with the byte that it was sent."""
    with socket.create_connection(counter) as connection:
        for byte in b"io":
            connection.sendall(bytes([byte]))
            assert connection.recv(1) == bytes([byte])


async def inside_async(counter: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*counter)
    for byte in b"io":
        writer.write(bytes([byte]))
        assert await reader.readexactly(1) == bytes([byte])
    writer.close()
    await writer.wait_closed()


def threads(options: argparse.Namespace, counter: tuple[str, int]) -> list[BaseException]:
    failures: list[BaseException] = []

    def work(client: konductor.Client, number: int) -> None:
        try:
            with client.semaphore(options.semaphore, holder=f"thread-{number}") as permit:
                inside(counter)
                permit.check()
        except BaseException as error:
            failures.append(error)

    with konductor.Client(namespace=options.namespace) as client:
        started = [threading.Thread(target=work, args=(client, one)) for one in range(options.workers)]
        for one in started:
            one.start()
        for one in started:
            one.join()
    return failures


async def tasks(options: argparse.Namespace, counter: tuple[str, int]) -> list[BaseException]:
    async def work(client: konductor.AsyncClient, number: int) -> None:
        async with client.semaphore(options.semaphore, holder=f"task-{number}") as permit:
            await inside_async(counter)
            permit.check()

    async with konductor.AsyncClient(namespace=options.namespace) as client:
        all_of_them = (work(client, one) for one in range(options.workers))
        results = await asyncio.gather(*all_of_them, return_exceptions=True)
    return [one for one in results if isinstance(one, BaseException)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--namespace", default=None)
    parser.add_argument("--semaphore", default="batch")
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--counter", required=True)
    parser.add_argument("--client", choices=["threads", "tasks"], default="threads")
    options = parser.parse_args()
    host, _, port = options.counter.rpartition(":")
    counter = (host, int(port))
    if options.client == "threads":
        failures = threads(options, counter)
    else:
        failures = asyncio.run(tasks(options, counter))
    for one in failures:
        print(one, file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
