"""A real web service whose event loop answers while processes compute."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil
import pytest
from tests.faults.scripts import eventually

import okazja
from okazja.jobs.sieve import count_primes

pytest.importorskip("aiohttp", reason="a web server and its client; the extra `test` brings them")

import aiohttp

CONNECTIONS = 64
REQUESTS = 4  # on each connection, one after the other
SMALLEST = 100_000  # what the service counts up to, and what that takes is some 10 ms
ALONE = 0.3  # seconds, before and after the load, in which nothing but pings is asked
SLOWER = (
    30  # times that a ping may take under load, on a busy machine: usually 1.2; 3,000 where the loop computes
)


@dataclass
class Service:
    process: subprocess.Popen[str]
    address: str


@pytest.fixture
def service() -> Iterator[Service]:
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("service.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(okazja.__file__).parents[1])},
    )
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        yield Service(process, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.communicate()


def client(connections: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections))


async def ask(session: aiohttp.ClientSession, address: str, n: int) -> tuple[int, int]:
    async with session.get(f"{address}/primes?n={n}") as response:
        assert response.status == 200
        answer = await response.json()
        return answer["n"], answer["primes"]


async def load(address: str) -> list[tuple[int, int]]:
    """Every connection asks for numbers of its own, and asks again when it has its answer."""

    async def one_after_the_other(session: aiohttp.ClientSession, first: int) -> list[tuple[int, int]]:
        return [await ask(session, address, first + step) for step in range(REQUESTS)]

    async with client(CONNECTIONS) as session:
        firsts = range(SMALLEST, SMALLEST + CONNECTIONS * REQUESTS, REQUESTS)
        answers = await asyncio.gather(*(one_after_the_other(session, first) for first in firsts))
    return [answer for part in answers for answer in part]


async def ping(address: str, beside: asyncio.Future[Any]) -> list[float]:
    """Seconds that each ping took, one after the other, for as long as there is something beside."""
    seconds = []
    async with client(1) as session:
        while not beside.done():
            start = perf_counter()
            async with session.get(f"{address}/ping") as response:
                assert await response.text() == "pong"
            seconds.append(perf_counter() - start)
    return seconds


async def ping_alone_and_under_load(address: str) -> tuple[list[float], list[float], list[tuple[int, int]]]:
    async with client(1) as session:  # until the workers are there
        await ask(session, address, SMALLEST)
    before = await ping(address, asyncio.create_task(asyncio.sleep(ALONE)))
    under_load = asyncio.create_task(load(address))
    beside = await ping(address, under_load)
    after = await ping(address, asyncio.create_task(asyncio.sleep(ALONE)))
    return before + after, beside, await under_load


def middle_and_slow(seconds: list[float]) -> tuple[float, float]:
    """The median, and what one in twenty exceeds."""
    return statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]


def ended(service: Service) -> tuple[int, str, str]:
    """Its exit status, and what it has printed."""
    out, err = service.process.communicate(timeout=30)
    return service.process.returncode, out, err


def test_under_load_no_request_is_lost_and_the_others_are_quick(service: Service) -> None:
    alone, beside, answers = asyncio.run(ping_alone_and_under_load(service.address))

    assert sorted(answers) == [
        (n, count_primes(n)) for n in range(SMALLEST, SMALLEST + CONNECTIONS * REQUESTS)
    ]
    for idle, busy in zip(middle_and_slow(alone), middle_and_slow(beside), strict=True):
        assert busy < SLOWER * idle
    service.process.terminate()
    assert ended(service) == (0, "", "")


def test_sigterm_under_load_answers_what_was_asked_and_leaves_nothing(service: Service) -> None:
    async def ask_and_terminate() -> list[tuple[int, int]]:
        numbers = range(SMALLEST, SMALLEST + CONNECTIONS)
        async with client(CONNECTIONS) as session:
            asked = [asyncio.create_task(ask(session, service.address, n)) for n in numbers]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)  # all have been sent by now
            children.extend(psutil.Process(service.process.pid).children(recursive=True))
            service.process.terminate()
            return await asyncio.gather(*asked)

    children: list[psutil.Process] = []
    answers = asyncio.run(ask_and_terminate())
    status = ended(service)

    assert answers == [(n, count_primes(n)) for n in range(SMALLEST, SMALLEST + CONNECTIONS)]
    assert status == (0, "", "")
    assert len(children) >= 3  # the zygote and two workers
    assert eventually(lambda: not any(child.is_running() for child in children))
