"""``hw3 inspect serve`` without a browser: what is said of a photograph, what is refused, and who may ask."""

import base64
import hashlib
import http.client
import io
import json
import re
import shutil
import socket
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from hw3lib.anomaly import Costs
from hw3lib.anomaly.registry import load_detector
from hw3lib.cli.main import main
from hw3lib.data import read_image
from hw3lib.errors import Hw3Error
from hw3lib.inspection import fit as detect
from hw3lib.inspection import inspector as module
from hw3lib.inspection.app import pages, server
from hw3lib.inspection.app.inspection import Inspector, decode, say_p_value
from hw3lib.inspection.app.metrics import Metrics
from tests.helpers.processes import wait_for


def encoded(pixels, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


NOISE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def test_a_photograph_is_decoded_as_it_is(tmp_path):
    assert np.array_equal(decode(encoded(NOISE), "a.png").pixels, NOISE)
    turned = Image.Exif()
    turned[0x0112] = 6
    assert decode(encoded(NOISE, "JPEG", exif=turned), "a.jpg").pixels.shape == (64, 48, 3)


def bomb():
    """A small PNG that says it is 30000x30000."""
    whole = bytearray(encoded(np.zeros((4, 4, 3), np.uint8)))
    whole[16:24] = (30000).to_bytes(4, "big") * 2
    crc = PngImagePlugin._crc32(bytes(whole[12:29]))
    whole[29:33] = crc.to_bytes(4, "big")
    return bytes(whole)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"GIF89a nonsense", "is not a photograph that can be read; expected one of PNG"),
        (encoded(NOISE)[:3000], "is damaged and cannot be read"),
        (encoded(NOISE, "SGI"), "is not a photograph"),
        (bytes(30_000_001), "has 30.0 MB; at most 30 MB"),
        (bomb(), "is not a photograph|pixels; at most 100 million"),
        (encoded(np.zeros((10001, 10000), np.uint8)), "has 10000x10001 pixels; at most 100 million"),
    ],
    ids=["empty", "text", "half", "another kind", "large", "bomb", "many pixels"],
)
def test_what_cannot_be_inspected_is_refused_in_a_sentence(content, reason):
    with pytest.raises(Hw3Error, match=f"^evil.png {reason}") as caught:
        decode(content, "evil.png")
    assert "BytesIO" not in str(caught.value)


@pytest.fixture(scope="module")
def detector(tmp_path_factory, make_category):
    """A category, and a detector that learned its good images."""
    home = tmp_path_factory.mktemp("app")
    counts = {"train/good": 12, "test/good": 2, "test/dent": 4, "test/scratch": 4}
    make_category(home / "widget", counts, (64, 64))
    for i, name in enumerate(sorted((home / "widget/test/scratch").iterdir())):  # something to tell them apart by
        pixels = np.array(Image.open(name))
        mask = np.array(Image.open(home / "widget/ground_truth/scratch" / f"{i:03d}_mask.png")) > 0
        pixels[mask] = (250, 0, 0)
        Image.fromarray(pixels).save(name)
    settings = {"image_size": 64}
    detect.fit(home / "widget", home / "detector", settings=settings, held_out=0.25, echo=lambda _: None)
    return home


@pytest.fixture(scope="module")
def inspector(detector):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "project_root", lambda: detector)
        return Inspector(detector / "detector", types=detector / "widget")


def test_an_inspection_agrees_with_the_detector(detector, inspector):
    file = detector / "widget/test/dent/000.png"
    found = inspector.inspect(file.read_bytes(), "000.png")
    model = load_detector(detector / "detector")
    score = model.decision_function(read_image(file, 64).transpose(2, 0, 1)[None])
    assert found["score"] == pytest.approx(float(score[0])) and found["threshold"] == model.threshold_
    assert found["p_value"] == model.p_values(score)[0] == 0.25
    assert found["anomalous"] and found["judgement"].startswith("Anomalous: the score ")
    assert found["verdict"] == "anomalous" and found["drift"] == 0
    with Image.open(detector / "widget/ground_truth/dent/000_mask.png") as mask:
        y, x = np.nonzero(np.array(mask))
    first = found["regions"][0]  # it lies about the defect
    assert (
        first["x"] <= np.median(x) < first["x"] + first["width"] and first["area"] <= first["width"] * first["height"]
    )
    assert first["y"] <= np.median(y) < first["y"] + first["height"] and first["peak"] > 0
    photograph = np.array(Image.open(io.BytesIO(found["photograph"])))
    heat_map = np.array(Image.open(io.BytesIO(found["heat_map"])))
    assert photograph.shape == heat_map.shape == (64, 64, 3) and not np.array_equal(photograph, heat_map)
    assert str(model.thresholds_) == found["limit"]


def test_a_threshold_by_costs_is_obeyed_and_a_changed_detector_gives_no_p_value(detector, tmp_path):
    model = load_detector(detector / "detector")
    file = detector / "widget/test/dent/000.png"
    model.know_defects(read_image(file, 64).transpose(2, 0, 1)[None])
    model.set_costs(Costs(1, 1000))
    model.probe_ = model.probe_ * 2  # as if it had given other scores
    model.save(tmp_path / "costly")
    found = Inspector(tmp_path / "costly")
    said = found.inspect(file.read_bytes(), "000.png")
    assert said["threshold"] == model.threshold_ and "costs least on 1 known defect" in said["limit"]
    assert said["p_value"] is None and said["chance"].startswith("This is no longer the detector that was fitted")
    assert said["limit"].endswith(said["chance"])


def test_a_type_of_defect_is_named_with_what_it_is_worth(detector, inspector):
    right = 0
    for defect in ("dent", "scratch"):
        for file in sorted((detector / "widget/test" / defect).iterdir()):
            found = inspector.types.type_of(read_image(file))
            assert sum(found.probabilities.values()) == pytest.approx(1)
            right += found.names[0] == defect
    assert right == 8  # of those it has learned
    found = inspector.inspect((detector / "widget/test/scratch/000.png").read_bytes(), "a.png")
    assert found["type"].startswith("Type of defect: scratch (") and "was right for " in found["type"]
    assert found["type_set"][0] == "scratch" == max(found["types"], key=found["types"].get)


def test_types_are_learned_once_and_anew_for_other_photographs(detector, inspector, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "project_root", lambda: detector)
    learn, learned = module.learn_types, []
    monkeypatch.setattr(module, "learn_types", lambda *given, **named: learned.append(1) or learn(*given, **named))
    said = []
    again = Inspector(detector / "detector", types=detector / "widget", echo=said.append)
    file = (detector / "widget/test/scratch/000.png").read_bytes()
    assert again.inspect(file, "a") == inspector.inspect(file, "a") and not learned and not said
    shutil.copytree(detector / "widget", tmp_path / "widget")
    photograph = tmp_path / "widget/test/dent/000.png"
    photograph.write_bytes((tmp_path / "widget/test/dent/001.png").read_bytes())
    (detector / "runs").rename(tmp_path / "gone")
    (detector / "runs").touch()  # where no folder can be made
    try:
        Inspector(detector / "detector", types=tmp_path / "widget", echo=said.append)
    finally:
        (detector / "runs").unlink()
        (tmp_path / "gone").rename(detector / "runs")
    assert learned == [1] and said[0].startswith("types of defects are learned from ")
    assert "Cannot write in " in said[-1] and "learned again" in said[-1]


def test_without_labelled_defects_the_page_says_how_to_get_the_type(detector):
    plain = Inspector(detector / "detector")
    bad = plain.inspect((detector / "widget/test/dent/000.png").read_bytes(), "a.png")
    good = plain.inspect((detector / "widget/train/good/000.png").read_bytes(), "a.png")
    assert "--types FOLDER" in bad["type"]
    assert good["type"] == "" or good["anomalous"]


def test_once_started_it_watches_what_it_inspects_for_a_drift(detector):
    plain = Inspector(detector / "detector", types=False)
    good = [file.read_bytes() for file in sorted((detector / "widget/train/good").iterdir())]
    assert plain.inspect(good[0], "a.png", pictures=False)["drift"] == 0
    plain.start()
    usual = [plain.inspect(content, "a.png", pictures=False) for content in good]
    assert all(0 < found["drift"] < 1000 and not found["warning"] for found in usual)
    assert len({found["drift"] for found in usual}) == len(good)
    plain.monitor = SimpleNamespace(
        add=lambda score, seen: 20000.0 * (0 < seen["brightness"] < 1), sign=("score", "higher")
    )
    found = plain.inspect(good[0], "a.png", pictures=False)
    assert found["drift"] == 20000
    assert found["warning"] == "a.png: production has drifted since the start: score of photographs higher."


def test_too_few_labelled_defects_are_refused(detector, tmp_path, make_category, monkeypatch):
    monkeypatch.setattr(module, "project_root", lambda: tmp_path)
    make_category(tmp_path / "few", {"train/good": 1, "test/good": 1, "test/dent": 1, "test/scratch": 1}, (64, 64))
    with pytest.raises(Hw3Error, match="--types .*few: found dent .1. and scratch .1.; expected a type"):
        Inspector(detector / "detector", types=tmp_path / "few")


@pytest.mark.parametrize(
    ("p", "n", "said"),
    [
        (1 / 20, 19, "p = 0.05: None of the 19 good products that set the threshold looked as unusual as this one"),
        (
            4 / 20,
            19,
            "p = 0.2: 3 of the 19 good products that set the threshold looked at least as unusual",
        ),
        (1, 3, "p = 1: 3 of the 3 good products"),
        (1 / 5000, 4999, "p = 0.0002: None of the 4999"),
    ],
)
def test_a_p_value_is_said_in_words(p, n, said):
    assert say_p_value(p, n).startswith(said)


class Asked:
    """What a program asks a server that inspects with a function of ours."""

    def __init__(self, inspect, token="", queue=server.QUEUE):
        self.sockets = pages.listen("127.0.0.1", 0)
        self.inspections = server.Inspections(inspect, queue)
        self.context = server.serving(self.inspections, self.sockets, token)
        self.port = self.sockets[0].getsockname()[1]

    def __enter__(self):
        self.context.__enter__()
        return self

    def __exit__(self, *error):
        self.context.__exit__(*error)

    def __call__(self, path, content=None, **headers):
        """Status and JSON, or text, of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        method = "GET" if content is None else "POST"
        connection.request(method, path, content, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text) if "json" in answer.headers["Content-Type"] else text


def named(content, name, pictures):
    """In place of a detector."""
    if name == "bad":
        raise Hw3Error("bad is damaged")
    if name == "worse":
        raise ValueError("why")
    return {"name": name, "size": len(content), "photograph": content[:3] if pictures else None}


def test_a_program_asks_and_is_told_of_errors_in_a_sentence():
    with Asked(named) as ask:
        assert ask("/inspect?name=a", b"abcdef") == (200, {"name": "a", "size": 6, "photograph": None})
        assert ask("/inspect?name=a&pictures=1", b"abc=1&d")[1]["photograph"] == base64.b64encode(b"abc").decode()
        form = {"Content_Type": "application/x-www-form-urlencoded"}  # as curl says of every file
        assert ask("/inspect?name=a", b"%zz=&\xff", **form)[0] == 200
        assert ask("/inspect", b"abc")[1]["name"] == "The photograph"
        assert ask("/inspect?name=bad", b"") == (422, {"error": "bad is damaged"})
        assert ask("/inspect?name=worse", b"") == (500, {"error": "worse could not be inspected: ValueError: why"})
        assert ask("/inspect?name=big.png", bytes(server.LARGEST + 1)) == (
            413, {"error": "big.png is larger than 30 MB; make it smaller."}
        )  # fmt: skip
        assert ask("/inspect?name=big.png", iter([bytes(10**6)] * 40))[0] == 413  # that does not say how long it is
        assert ask("/inspect?name=%ff", b"a")[0] == 400 and ask("/nothing") == (
            404,
            {"error": "GET /nothing: Not Found."},
        )
        assert ask("/inspect")[0] == 405
        assert ask("/inspect?name=a", b"after all that")[1]["size"] == 14
        assert ask("/health") == (200, {"status": "ok", "waiting": 0, "answered": 5})


def test_page_and_sentences_are_in_the_language_that_the_browser_asks_for():
    pages = {}
    with Asked(named) as ask:
        for wanted in ("zh-TW,zh;q=0.9,en;q=0.8", "zh-Hant-TW", "de, en;q=0.5", ""):
            pages[wanted] = ask("/", Accept_Language=wanted)[1]
            refused = ask("/inspect?name=big.png", bytes(server.LARGEST + 1), Accept_Language=wanted)[1]["error"]
            chinese = wanted.startswith("zh")
            assert refused == (
                "big.png 超過 30 MB；請縮小它。" if chinese else "big.png is larger than 30 MB; make it smaller."
            )
    asked, other, german, none = (re.sub(r"nonce[-=]\S+", "", page) for page in pages.values())
    assert asked == other != german == none and "{{" not in asked + none and "未譯" not in asked
    assert '<html lang="zh-TW"' in asked and "把照片拖到這裡" in asked and "`照片 ${found.name}`" in asked
    assert '<html lang="en"' in none and "Drop a photograph here" in none and "`The photograph ${found.name}`" in none


def fits(value, schema):
    """Whether a value is as a JSON schema says, as far as the description uses these."""
    kinds = {"number": (int, float), "integer": int, "string": str, "boolean": bool, "object": dict, "array": list,
             "null": type(None)}  # fmt: skip
    named = schema.get("type", [])
    properties, more = schema.get("properties", {}), schema.get("additionalProperties", {})
    inside = value.items() if isinstance(value, dict) else ()
    return (
        (not named or any(isinstance(value, kinds[k]) for k in ([named] if isinstance(named, str) else named)))
        and ("enum" not in schema or value in schema["enum"])
        and set(schema.get("required", ())) <= {key for key, _ in inside}
        and all(fits(each, properties.get(key, more)) for key, each in inside)
        and all(fits(each, schema.get("items", {})) for each in (value if isinstance(value, list) else ()))
    )


def test_the_description_says_what_is_answered(inspector, detector):
    photograph = (detector / "widget/test/dent/000.png").read_bytes()
    with Asked(inspector.inspect) as ask:
        said = ask("/openapi.json")[1]
        found = ask("/inspect?name=a.png&pictures=1", photograph)[1]
        bare = ask("/inspect?name=a.png", photograph)[1]
        error, health = ask("/inspect", b"")[1], ask("/health")[1]
        assert {path: ask(path, b"" if "post" in method else None)[0] for path, method in said["paths"].items()} == {
            "/inspect": 422, "/health": 200, "/metrics": 200,
        }  # fmt: skip
    assert said["openapi"].startswith("3.1.") and {"title", "version"} <= set(said["info"])
    inspect = said["paths"]["/inspect"]["post"]
    answers = {status: each["content"]["application/json"]["schema"] for status, each in inspect["responses"].items()}
    assert set(answers) == {"200", "403", "413", "422", "429", "500", "503"} and "security" not in said
    assert set(answers["200"]["properties"]) == set(found) == set(bare)
    assert fits(found, answers["200"]) and fits(bare, answers["200"]) and fits(error, answers["422"])
    assert not fits(found | {"regions": [{}]}, answers["200"]) and not fits(error, answers["200"])
    assert fits(health, said["paths"]["/health"]["get"]["responses"]["200"]["content"]["application/json"]["schema"])
    assert bare["photograph"] is None and base64.b64decode(found["photograph"]).startswith(b"\xff\xd8")
    assert sum(found["types"].values()) == pytest.approx(1) and found["score"] == bare["score"] and found["regions"]


def form(*photographs):
    """A form with files, and its Content-Type."""
    parts = [
        f'--B\r\nContent-Disposition: form-data; name="p"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in photographs
    ]
    return b"".join(parts) + b"--B--\r\n", "multipart/form-data; boundary=B"


def test_a_photograph_may_come_in_a_form():
    with Asked(named) as ask:
        body, kind = form(("a.png", b"abc\r\n"))
        assert ask("/inspect", body, Content_Type=kind)[1] == {"name": "a.png", "size": 5, "photograph": None}
        assert ask("/inspect?name=b", body, Content_Type=kind)[1]["name"] == "b"
        for wrong in (form(), form(("a", b"1"), ("b", b"2")), (body, "multipart/form-data"), (b"--B", kind)):
            status, said = ask("/inspect", wrong[0], Content_Type=wrong[1])
            assert status == 422 and "expected one photograph" in said["error"]


def test_metrics_count_what_is_answered():
    def inspect(content, name, pictures):
        if not content:
            raise Hw3Error("empty")
        return {"verdict": name, "drift": 12.5}

    with Asked(inspect) as ask:
        for name, content in (("good", b"a"), ("good", b"a"), ("anomalous", b"a"), ("", b"")):
            ask(f"/inspect?name={name}", content)
        lines = ask("/metrics")[1].splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert samples['hw3_inspect_requests_total{status="200"}'] == "3" == samples["hw3_inspect_seconds_count"]
    assert samples['hw3_inspect_requests_total{status="422"}'] == "1"
    assert samples['hw3_inspect_photographs_total{verdict="good"}'] == "2"
    assert samples["hw3_inspect_drift"] == "12.5" and samples["hw3_inspect_queue"] == "32"
    told = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert len(told) == 6 and all(any(name.startswith(each) for each in told) for name in samples)


def test_the_histogram_counts_what_took_no_longer():
    counted = Metrics()
    for seconds in (0.01, 0.25, 70.0):
        counted.add(200, seconds, {})
    counted.add(422, 0.01, {})  # was not inspected
    text = counted.text(0, 1)
    for bound, n in (("0.025", 1), ("0.1", 1), ("0.25", 2), ("60", 2), ("+Inf", 3)):
        assert f'hw3_inspect_seconds_bucket{{le="{bound}"}} {n}\n' in text
    assert "hw3_inspect_seconds_sum 70.26\n" in text and "hw3_inspect_seconds_count 3\n" in text


def test_nothing_is_inspected_before_the_inspector_is_there():
    with Asked(None) as ask:
        assert ask("/health") == (503, {"status": "loading", "waiting": 0, "answered": 0})
        assert ask("/inspect", b"a") == (503, {"error": "The inspector is loading; try again in a moment."})
        ask.inspections.inspect = named
        assert ask("/health")[0] == 200 and ask("/inspect", b"a")[0] == 200


def test_what_was_taken_is_answered_before_the_server_ends():
    go = threading.Event()

    def inspect(content, name, pictures):
        go.wait(30)
        return {"name": name, "photograph": bytes(10**7)}  # more than a socket keeps

    def slow():
        connection = http.client.HTTPConnection("127.0.0.1", ask.port, timeout=30)
        connection.request("POST", "/inspect?name=2", b"x")
        go.wait(30)
        time.sleep(0.5)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def late():
        wait_for(lambda: ask.inspections.ending)
        kept.request("POST", "/inspect", b"late")
        answer = kept.getresponse()
        said = answer.status, answer.headers["Retry-After"], answer.read()
        go.set()
        return said

    with ThreadPoolExecutor(4) as pool, Asked(inspect) as ask:
        kept = http.client.HTTPConnection("127.0.0.1", ask.port, timeout=30)
        kept.request("GET", "/health")
        assert kept.getresponse().read()
        asked = [*(pool.submit(ask, f"/inspect?name={i}", b"x") for i in range(2)), pool.submit(slow)]
        wait_for(lambda: ask("/health")[1]["waiting"] == 3)
        refused = pool.submit(late)
    assert [(each.result()[0], each.result()[1]["name"]) for each in asked] == [(200, "0"), (200, "1"), (200, "2")]
    status, again, said = refused.result()
    assert status == 503 and again == "1" and b"The inspector is ending" in said


def test_the_server_answers_while_a_photograph_is_inspected_and_refuses_what_is_too_much(monkeypatch):
    monkeypatch.setattr(server, "SECONDS", 2.0)
    go, begun = threading.Event(), []

    def inspect(content, name, pictures):
        begun.append(name)
        go.wait(30)
        return {"name": name}

    with Asked(inspect, queue=3) as ask, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, f"/inspect?name={i}", b"x") for i in range(3)]
        wait_for(lambda: begun and ask("/health")[1]["waiting"] == 3)
        assert len(begun) == 1  # one at a time
        assert ask("/inspect?name=more", bytes(10**6)) == (
            429, {"error": "3 photographs are waiting already; try again in a moment."}
        )  # fmt: skip
        answers = [future.result() for future in asked]
        assert [status for status, _ in answers] == [503] * 3 and "was not inspected within 2 s" in answers[0][1][
            "error"
        ]
        assert ask("/health")[1]["waiting"] == 1  # the one that nothing can stop
        go.set()
        assert ask("/inspect?name=later", b"x") == (200, {"name": "later"})
    assert len(begun) == 2  # those that gave up waiting were never begun


def test_who_leaves_gives_up_the_place_and_a_slow_one_is_left(monkeypatch):
    monkeypatch.setattr(server, "SECONDS", 1.0)
    with Asked(named) as ask:
        slow = [socket.create_connection(("127.0.0.1", ask.port)) for _ in range(2)]
        for each in slow:
            each.sendall(
                f"POST /inspect HTTP/1.1\r\nHost: 127.0.0.1:{ask.port}\r\nContent-Length: 99\r\n\r\nx".encode()
            )
        wait_for(lambda: ask("/health")[1]["waiting"] == 2)
        slow[0].close()
        wait_for(lambda: ask("/health")[1]["waiting"] == 1)
        wait_for(lambda: ask("/health")[1]["waiting"] == 0)  # of the one that sends no more
        assert slow[1].recv(1) == b""
        slow[1].close()


def test_twenty_programs_at_once_are_all_answered_once():
    seen, refused = Counter(), []

    def inspect(content, name, pictures):
        seen[name] += 1
        return {"name": name, "sum": hashlib.sha256(content).hexdigest()}

    def client(number):
        rng, answers = np.random.default_rng(number), {}
        for i in range(15):
            name, content = f"{number}-{i}", rng.bytes(50_000)
            while (answer := ask(f"/inspect?name={name}", content))[0] == 429:
                refused.append(name)
                time.sleep(0.02)
            assert answer == (200, {"name": name, "sum": hashlib.sha256(content).hexdigest()})
            answers[name] = answer
        return answers

    with Asked(inspect, queue=12) as ask, ThreadPoolExecutor(20) as pool:  # fewer than ask: some must come again
        answered = [name for answers in pool.map(client, range(20)) for name in answers]
        assert ask("/health")[1] == {"status": "ok", "waiting": 0, "answered": 300}
    assert len(set(answered)) == len(answered) == 300 and seen == Counter(answered) and refused


def test_four_programs_hear_of_forty_photographs_what_is_said_of_each_alone(inspector, detector):
    contents = [
        file.read_bytes() for split in ("train", "test") for file in (detector / "widget" / split).rglob("*.png")
    ]
    alone = [inspector.inspect(content, "", pictures=False) for content in contents]
    with Asked(inspector.inspect) as ask, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: ask(f"/inspect?name={i}", contents[i % len(contents)]), range(40)))
        assert ask("/health")[1]["answered"] == 40
    for i, (status, said) in enumerate(answers):
        expected = alone[i % len(contents)]
        assert status == 200 and said["name"] == str(i)
        assert all(said[key] == expected[key] for key in ("score", "verdict", "types", "type_set", "regions"))


def test_only_this_machine_may_ask_and_others_need_the_token():
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.7"):
        assert pages.is_loopback(host)
    for host in ("0.0.0.0", "192.168.1.5", "example.org", "::"):
        assert not pages.is_loopback(host)
    with Asked(named) as ask:
        at_home = f"http://127.0.0.1:{ask.port}"
        assert ask("/inspect", b"a", Origin=at_home)[0] == 200
        for hostile in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            for path, content in (("/", None), ("/inspect", b"a"), ("/openapi.json", None)):
                status, said = ask(path, content, **hostile)
                assert status == 403 and "only the page of this machine may ask" in said["error"]
    with Asked(named, "secret") as ask:
        for wrong in ({}, {"Authorization": "Bearer guess"}, {"Authorization": "Bearer"}):
            for path, content in (
                ("/", None),
                ("/inspect", b"a" * 10**6),
                ("/openapi.json", None),
                ("/?token=x", None),
            ):
                assert ask(path, content, **wrong)[0] == 403
        assert ask("/inspect", b"a", Authorization="Bearer secret", Host="line.example")[0] == 200
        assert "<title>" in ask("/?token=secret")[1] and ask("/health")[0] == 200
        assert ask("/openapi.json?token=secret")[1]["security"] == [{"token": []}]


def test_the_page_takes_nothing_from_elsewhere_and_runs_no_script_but_its_own():
    with Asked(named) as ask, urllib.request.urlopen(f"http://127.0.0.1:{ask.port}/") as answer:
        page, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
    nonce = re.search(r"<script nonce=\"(.+)\">", page)[1]
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["script-src"] == parts["style-src"] == f"'nonce-{nonce}'" and parts["default-src"] == "'none'"
    assert parts["img-src"] == "data:" and parts["connect-src"] == "'self'"
    assert "{{" not in page
    assert "innerHTML" not in page and re.findall(r"https?://", page) == []


def test_a_busy_port_is_told_before_anything_is_loaded(tmp_path):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(Hw3Error, match=f"--port {port}: cannot be listened on"):
            server.serve(tmp_path / "no detector", port=port)
    with pytest.raises(Hw3Error, match="--port 70000: expected a number of 0 to 65535"):
        pages.listen("127.0.0.1", 70000)
    with pytest.raises(Hw3Error, match="--host no.such.host.invalid"):
        pages.listen("no.such.host.invalid", 0)


def test_a_broken_detector_is_told_and_the_port_is_free_again(tmp_path):
    (tmp_path / "detector.json").write_text("{")
    (tmp_path / "state.safetensors").write_text("")
    with pytest.raises(Hw3Error, match="detector.json: is damaged"):
        server.serve(tmp_path, port=0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for _ in range(2):
        with pytest.raises(Hw3Error, match="no saved detector"):
            server.serve(tmp_path / "nothing", port=port)
    with pytest.raises(Hw3Error, match="--queue 0: expected 1 or more"):
        server.serve(tmp_path, queue=0)


@pytest.mark.parametrize(("host", "given", "open_"), [("127.0.0.1", None, True), ("0.0.0.0", None, False),
                                                      ("127.0.0.1", "secret", False)])  # fmt: skip
def test_it_says_where_the_page_is_and_a_host_for_others_has_a_token(detector, monkeypatch, host, given, open_):
    said, token = [], {server.TOKEN: given} if given else {}
    for name, value in token.items():
        monkeypatch.setenv(name, value)

    def echo(line):
        said.append(line)
        if line.startswith("page: "):
            address = line.split()[1]
            with urllib.request.urlopen(address) as answer:
                assert "<title>Inspection of a photograph</title>" in answer.read().decode()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        server.serve(detector / "detector", host=host, port=0, browser=False, echo=echo)
    assert ("?token=" in said[-1]) is not open_ and (given or "") in said[-1]
    assert any("is not encrypted" in line for line in said) == (host == "0.0.0.0")
    with pytest.raises(OSError):
        urllib.request.urlopen(said[-1].split()[1], timeout=5)


@pytest.mark.parametrize("words", [["app"], ["inspect", "serve"]])
def test_both_commands_pass_their_arguments_on(monkeypatch, words):
    given = {}
    monkeypatch.setattr(server, "serve", lambda inspector, **rest: given.update(rest, inspector=inspector))
    asked = ["bolts", "--port", "0", "--types", "T", "--no-browser", "--theme", "dark", "--queue", "5", "--token", "x"]
    assert main([*words, *asked]) == 0
    del given["echo"]
    assert given == {
        "inspector": "bolts", "host": "127.0.0.1", "port": 0, "types": "T", "browser": False, "theme": "dark",
        "progress": False, "queue": 5, "token": "x",
    }  # fmt: skip
