"""Threads of any number of replicas, of which so many at once use a database.

koncli semaphore create database --permits 2
python worker_pool.py
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import konductor

client = konductor.Client()


@client.semaphore("database", timeout=600)
def load(table: str) -> str:
    """Loads a table while a permit is held."""
    return f"loaded {table}"


def main() -> None:
    tables = ["customers", "orders", "invoices", "payments"]
    with ThreadPoolExecutor(4) as pool:
        for line in pool.map(load, tables):
            print(line)


if __name__ == "__main__":
    main()
