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

from hw3lib.inspection.app.pages import listen
from tests.helpers import launched_serve
from tests.helpers.processes import wait_for

KILLS = int(os.environ.get("HW3_KILLS", "2"))
CLIENTS = 4


def test_who_asks_a_server_that_is_killed_hears_of_it_and_asks_again(tmp_path):
    (place,) = listen("127.0.0.1", 0)
    port = place.getsockname()[1]
    place.close()
    command = [sys.executable, "-m", launched_serve.__name__, str(port)]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
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
                with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as process:
                    try:
                        wait_for(lambda before=before: answered.total() >= before + 8)
                        time.sleep(rng.uniform(0, 0.1))
                        process.send_signal(signal.SIGTERM if last else signal.SIGKILL)
                        process.wait(60)
                    finally:
                        process.kill()
                assert process.returncode == (0 if last else -signal.SIGKILL)
                wait_for(lambda seen=seen: errors.total() > seen.total())
                if last:  # what was taken was answered to its end
                    assert errors["IncompleteRead"] == seen["IncompleteRead"]
        finally:
            stop.set()
        for each in clients:
            each.result()
    assert set(answered.values()) == {1} and not list(tmp_path.iterdir())
