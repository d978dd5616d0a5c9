"""``hw3 inspect serve`` on this machine: one program alone, then 20 at once: latencies, memory, and none lost."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count as numbers
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from hw3lib.data import get, load_table
from hw3lib.inspection.fit import fit

from ..machine import say_load

CLIENTS = 20
_ALONE = 50  # photographs of the one program
_FIRST = 500  # photographs after which memory is looked at


def main(category: str, data: str | None = None, count: int = 2000, sizes: Sequence[int] = (224,)) -> None:
    """Fit an inspector without types, and send it the category's test images as they are on the disk."""
    say_load()
    root = get(category, data, progress=False)
    table = load_table(root, category)
    photographs = [Path(file).read_bytes() for file in table[table["split"] == "test"]["image"]]
    with tempfile.TemporaryDirectory() as folder:
        settings = {"image_size": sizes[0]}
        fit(Path(root) / category, Path(folder) / "inspector", settings=settings, echo=lambda _: None)
        with serving(Path(folder) / "inspector") as (process, port):
            before = sum(process.cpu_times()[:2])
            alone, first, _ = send(port, photographs, 1, max(_ALONE, len(photographs)))
            megabytes = sum(map(len, photographs)) / len(photographs) / 1e6
            print(f"{category}: {len(photographs)} photographs of {megabytes:.2f} MB in turn, at {sizes[0]} px")
            used = sum(process.cpu_times()[:2]) - before
            print(
                f"  one program: {say(alone)} from request to answer, {1000 * used / len(alone):.0f} ms of processors"
            )
            memory: dict[int, int] = {}

            def look(n: int) -> None:
                if n in (_FIRST, count):
                    memory[n] = process.memory_info().rss

            seconds, found, refused = send(port, photographs, CLIENTS, count, look)
            total = _samples(port)['hw3_inspect_requests_total{status="200"}'] - len(alone)
    same = sum(score == first[str(int(name) % len(photographs))] for name, score in found.items())
    print(f"  {CLIENTS} programs: {say(seconds)}; {refused} times told to come again")
    print(f"  {count} sent, {len(found)} answered, {total:.0f} inspected, {same} with the score of the first time")
    print("  memory: " + ", ".join(f"{size / 1e6:.0f} MB after {n}" for n, size in memory.items()))


def send(
    port: int,
    photographs: list[bytes],
    clients: int,
    count: int,
    done: Callable[[int], object] = abs,
    what: str = "score",
) -> tuple[list[float], dict[str, Any], int]:
    """Seconds of each of ``count`` photographs, what was said by name, and how often a program should come again."""
    todo, lock = numbers(), threading.Lock()
    seconds: list[float] = []
    found: dict[str, Any] = {}
    told: Counter[int] = Counter()

    def client(_: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        while (at := next(todo)) < count:
            started, status = time.perf_counter(), 0
            while status != 200:
                connection.request("POST", f"/inspect?name={at}", photographs[at % len(photographs)])
                answer = connection.getresponse()
                said, status = json.loads(answer.read()), answer.status
                told[status] += 1
                if status == 429:
                    time.sleep(float(answer.headers["Retry-After"]))
                elif status != 200:
                    raise RuntimeError(f"status {status}: {said}")
            with lock:
                if said["name"] in found or said["name"] != str(at):
                    raise RuntimeError(f"photograph {at} was answered as {said['name']}")
                seconds.append(time.perf_counter() - started)
                found[said["name"]] = said[what]
                done(len(found))
        connection.close()

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    return seconds, found, told[429]


def say(seconds: list[float]) -> str:
    """Median and 95th percentile in milliseconds."""
    p50, p95 = 1000 * np.quantile(seconds, [0.5, 0.95])
    return f"p50 {p50:.0f} ms, p95 {p95:.0f} ms"


def _samples(port: int) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}


@contextmanager
def serving(inspector: Path) -> Iterator[tuple[psutil.Process, int]]:
    """The command in a process of its own, once it inspects, and its port."""
    command = [sys.executable, "-u", "-m", "hw3lib.cli", "inspect", "serve", str(inspector), "--port", "0"]
    with subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = next(line.split()[1] for line in process.stdout if line.startswith("page: "))
            yield psutil.Process(process.pid), int(address.rstrip("/").rpartition(":")[2])
        finally:
            process.terminate()
