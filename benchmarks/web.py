"""A web server on this machine in a process of its own, and coroutines that fetch from it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["fetch", "forget_session", "serving"]

_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server that runs until the block ends."""
    command = [sys.executable, "-m", "benchmarks.web"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/"
        finally:
            server.terminate()


async def fetch(url: str) -> int:
    """The bytes of a page, through the one session of the loop."""
    loop = asyncio.get_running_loop()
    session = _sessions.get(loop)
    if session is None:
        import aiohttp

        session = _sessions[loop] = aiohttp.ClientSession()
    async with session.get(url) as response:
        return len(await response.read())


async def forget_session() -> None:
    """Close the session of the loop."""
    session = _sessions.pop(asyncio.get_running_loop(), None)
    if session is not None:
        await session.close()


async def _serve() -> None:
    from aiohttp import web

    async def page(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1000)

    app = web.Application()
    app.add_routes([web.get("/", page)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    print(site._server.sockets[0].getsockname()[1], flush=True)  # type: ignore[attr-defined]
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
