"""A server that is killed or asked to end under load: who asks hears of it, and no answer is half one.

``HW3_KILLS=100`` kills a hundred times.
"""

import hashlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from hw3lib.inspection.app.pages import listen
from tests.helpers import launched_serve
from tests.helpers.processes import wait_for

KILLS = int(os.environ.get("HW3_KILLS", "2"))
CLIENTS = 4


@contextmanager
def served(port, seconds, folder):
    """A server in a process of its own that takes so long for a photograph."""
    command = [sys.executable, "-m", launched_serve.__name__, str(port), str(seconds)]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def port():
    (place,) = listen("127.0.0.1", 0)
    with place:
        return place.getsockname()[1]


def test_a_server_that_is_asked_to_end_answers_what_it_has_taken(tmp_path, port):
    def ask(path, content=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET" if content is None else "POST", path, content)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def health():
        with suppress(OSError):
            return ask("/health")[1]
        return {"status": "", "waiting": 0}

    with served(port, 0.3, tmp_path) as process, ThreadPoolExecutor(CLIENTS) as pool:
        wait_for(lambda: health()["status"] == "ok")
        asked = [pool.submit(ask, f"/inspect?name={i}", b"x") for i in range(CLIENTS)]
        wait_for(lambda: health()["waiting"] == CLIENTS)
        process.send_signal(signal.SIGTERM)
        assert sorted((status, said["name"]) for status, said in (each.result() for each in asked)) == [
            (200, str(i)) for i in range(CLIENTS)
        ]
        assert process.wait(60) == 0


def test_who_asks_a_server_that_is_killed_hears_of_it_and_asks_again(tmp_path, port):
    answered, errors, stop = Counter(), Counter(), threading.Event()

    def client(number):
        rng, count = random.Random(number), 0
        while not stop.is_set():
            name, content = f"{number}-{count}", rng.randbytes(20_000)
            while not stop.is_set():
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                try:
                    connection.request("POST", f"/inspect?name={name}", content)
                    answer = connection.getresponse()
                    said = json.loads(answer.read())
                except (OSError, http.client.HTTPException) as error:
                    errors[type(error).__name__] += 1
                    time.sleep(0.02)
                    continue
                finally:
                    connection.close()
                if answer.status == 200:
                    assert said["name"] == name and said["sum"] == hashlib.sha256(content).hexdigest()
                    assert len(said["heat_map"]) > 10**6
                    answered[name] += 1
                    break
                assert answer.status == 503  # it starts or ends
                time.sleep(0.02)
            count += 1

    rng = random.Random(0)
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(client, number) for number in range(CLIENTS)]
        try:
            for last in [False] * KILLS + [True]:
                before, seen = answered.total(), errors.copy()
                with served(port, 0.005, tmp_path) as process:
                    wait_for(lambda before=before: answered.total() >= before + 8)
                    time.sleep(rng.uniform(0, 0.1))
                    process.send_signal(signal.SIGTERM if last else signal.SIGKILL)
                    process.wait(60)
                assert process.returncode == (0 if last else -signal.SIGKILL)
                wait_for(lambda seen=seen: errors.total() > seen.total())
                if last:  # what was taken was answered to its end
                    assert errors["IncompleteRead"] == seen["IncompleteRead"]
        finally:
            stop.set()
        for each in clients:
            each.result()
    assert set(answered.values()) == {1} and not list(tmp_path.iterdir())
