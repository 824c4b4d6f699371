"""A web service with a light endpoint and one that computes. It says its port, and ends on SIGTERM."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncIterator

from aiohttp import web

from okazja import Executor

EXECUTOR = web.AppKey("EXECUTOR", Executor)


def count_primes(n: int) -> int:
    """Some tens of milliseconds of Python code that never lets go of a CPU."""
    is_prime = [False, False] + [True] * (n - 2)
    for factor in range(2, int((n - 1) ** 0.5) + 1):
        if is_prime[factor]:
            for multiple in range(factor * factor, n, factor):
                is_prime[multiple] = False
    return sum(is_prime)


async def primes(request: web.Request) -> web.Response:
    n = int(request.query["n"])
    return web.json_response({"n": n, "primes": await request.app[EXECUTOR].submit(count_primes, n)})


async def ping(_: web.Request) -> web.Response:
    return web.Response(text="pong")


async def with_executor(app: web.Application) -> AsyncIterator[None]:
    # Whoever answers comes first: the workers take what CPU time is left.
    async with Executor("processes", max_workers=2, initializer=os.nice, initargs=(10,)) as app[EXECUTOR]:
        yield


def main() -> None:
    app = web.Application()
    app.router.add_get("/primes", primes)
    app.router.add_get("/ping", ping)
    app.cleanup_ctx.append(with_executor)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    web.run_app(app, sock=listener, print=None)


if __name__ == "__main__":
    main()
