"""Clients of HTTP in one process, each asking again as soon as it is answered, that cost little themselves.

``python -m tests.benchmarks.http_clients HOST PORT CLIENTS SECONDS`` reads lines ``["path", …]``: the clients ask for
these paths, in an order drawn at random for each, for so many seconds; the answer to the line is one of JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import uvloop


class Asked:
    """What the answers were, and what they took."""

    def __init__(self) -> None:
        self.took_ms: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.size_bytes = 0


async def ask_for(host: str, port: int, paths: Sequence[str], until_s: float, seed: int, asked: Asked) -> None:
    """One client, on one connection."""
    chosen = random.Random(seed)
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 24)
    while (begin_s := time.perf_counter()) < until_s:
        path = paths[chosen.randrange(len(paths))]
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        size = length_of(head)
        await reader.readexactly(size)
        asked.took_ms.append(1000.0 * (time.perf_counter() - begin_s))
        asked.statuses[int(head[9:12])] += 1
        asked.size_bytes += size
    writer.close()


def length_of(head: bytes) -> int:
    """Bytes of the body."""
    lower = head.lower()
    begin = lower.index(b"content-length:") + len(b"content-length:")
    return int(lower[begin : lower.index(b"\r\n", begin)])


async def serve(host: str, port: int, clients: int, seconds: float) -> None:
    """Answer each line."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked, begin_s = Asked(), time.perf_counter()
        paths = json.loads(line)
        await asyncio.gather(*(ask_for(host, port, paths, begin_s + seconds, seed, asked) for seed in range(clients)))
        took_s = time.perf_counter() - begin_s
        answer = {
            **{f"p{q}_ms": float(np.percentile(asked.took_ms, q)) for q in (50, 95, 99)},
            "max_ms": max(asked.took_ms),
            "requests": len(asked.took_ms),
            "a_second": len(asked.took_ms) / took_s,
            "kib": asked.size_bytes / len(asked.took_ms) / 1024,
            "refused": sum(count for status, count in asked.statuses.items() if status != 200),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
