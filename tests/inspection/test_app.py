"""``hw3 app`` without a browser: what is said of a photograph, what is refused, and that the server ends."""

import io
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from hw3lib.anomaly import Costs
from hw3lib.anomaly.registry import load_detector
from hw3lib.cli.main import main
from hw3lib.data import read_image
from hw3lib.errors import Hw3Error
from hw3lib.inspection import fit as detect
from hw3lib.inspection.app import page, server
from hw3lib.inspection.app.defect_types import region
from hw3lib.inspection.app.inspection import Inspector, decode, say_p_value
from hw3lib.inspection.app.service import ADDRESS, KEY, Service, ask


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
    return Inspector(detector / "detector", detector / "widget")


def test_an_inspection_agrees_with_the_detector(detector, inspector):
    file = detector / "widget/test/dent/000.png"
    found = inspector.inspect(file.read_bytes(), "000.png")
    model = load_detector(detector / "detector")
    score = model.decision_function(read_image(file, 64).transpose(2, 0, 1)[None])
    assert found["score"] == pytest.approx(float(score[0])) and found["threshold"] == model.threshold_
    assert found["p_value"] == model.p_values(score)[0] == 0.25
    assert found["anomalous"] and found["verdict"].startswith("Anomalous: the score ")
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
            p = inspector.types.probabilities(*_with_map(inspector, file))
            assert p.sum() == pytest.approx(1)
            right += inspector.types.classes[int(p.argmax())] == defect
    assert right == 8  # of those it has learned
    said = inspector.inspect((detector / "widget/test/scratch/000.png").read_bytes(), "a.png")["type"]
    assert said.startswith("Type of defect: most like scratch (") and "labelled photographs of widget" in said
    assert inspector.types.right[1] == 8


def _with_map(inspector, file):
    image = read_image(file)
    return image, inspector._score(image)[1]


def test_without_labelled_defects_the_page_says_how_to_get_the_type(detector):
    plain = Inspector(detector / "detector")
    bad = plain.inspect((detector / "widget/test/dent/000.png").read_bytes(), "a.png")
    good = plain.inspect((detector / "widget/train/good/000.png").read_bytes(), "a.png")
    assert "--types FOLDER" in bad["type"]
    assert good["type"] == "" or good["anomalous"]


def test_too_few_labelled_defects_are_refused(detector, tmp_path, make_category):
    make_category(tmp_path / "few", {"train/good": 1, "test/good": 1, "test/dent": 3, "test/scratch": 1}, (64, 64))
    with pytest.raises(Hw3Error, match="--types .*few: found dent 3, scratch 1; expected at least two types"):
        Inspector(detector / "detector", tmp_path / "few")


def test_the_region_is_round_the_peak_and_inside_of_the_image():
    map_ = np.zeros((10, 10), np.float32)
    map_[8:, 8:] = 5  # the lower right corner
    map_[0, 0] = 3
    left, top, right, bottom = region(map_, 1.0, (100, 200))
    assert (right, bottom) == (200, 100) and right - left == bottom - top and 25 <= right - left <= 100
    assert region(None, None, (100, 200)) == (50, 0, 150, 100)
    assert region(np.ones((10, 10), np.float32), 0.0, (40, 40)) == (0, 0, 40, 40)


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


def test_the_service_answers_and_tells_errors():
    def inspect(content, name):
        if name == "bad":
            raise Hw3Error("bad is damaged")
        if name == "worse":
            raise ValueError("why")
        return {"name": name, "size": len(content), "photograph": content[:3], "heat_map": None}

    with Service(inspect) as service:
        known = service.environment
        assert ask(b"abcdef", "a", known) == {"name": "a", "size": 6, "photograph": b"abc", "heat_map": None}
        with pytest.raises(Hw3Error, match="^bad is damaged$"):
            ask(b"", "bad", known)
        with pytest.raises(Hw3Error, match="worse could not be inspected: ValueError: why"):
            ask(b"", "worse", known)
        with pytest.raises((AuthenticationError, EOFError, OSError)):
            Client(("127.0.0.1", int(known[ADDRESS])), authkey=b"guessed")
        with pytest.raises(Hw3Error, match="does not answer"):
            ask(b"", "a", known | {KEY: "00"})
        assert ask(b"", "after all that", known)["size"] == 0
    with pytest.raises(Hw3Error, match="does not answer"):
        ask(b"", "a", known)


def test_the_page_writes_names_as_text_and_not_as_html():
    found = {
        "name": "<script>x</script>.png", "width": 1, "height": 2, "score": 1.0, "threshold": 2.0, "anomalous": False,
        "verdict": "Good", "chance": "p", "limit": "l", "type": "", "photograph": b"x", "heat_map": None,
    }  # fmt: skip
    for shown in (page.answered(found), page.refused(found["name"]), page.waiting(found["name"])):
        assert "<script>" not in shown and "&lt;script&gt;" in shown
    assert "has no heat map" in page.answered(found)


def test_a_file_in_pieces_is_put_together_and_a_broken_one_dropped():
    from hw3lib.inspection.app.drop import PhotographDrop

    drop, got = PhotographDrop(limit=10), []
    drop.on_file(lambda name, content: got.append((name, content)))

    def send(key, part, parts, piece):
        drop._handle_custom_msg({"key": key, "part": part, "parts": parts, "name": f"{key}.png"}, [memoryview(piece)])

    send(1, 0, 3, b"ab")
    send(2, 0, 2, b"cd")  # the first one never ends
    send(2, 1, 2, b"ef")
    send(3, 0, 2, b"0123456")
    send(3, 1, 2, b"789ab")  # more than is taken
    send(4, 0, 1, b"")
    assert got == [("2.png", b"cdef"), ("4.png", b"")]


def test_only_loopback_is_served_unless_another_host_is_allowed():
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.7"):
        assert server.check_host(host, False) is False
    for host in ("0.0.0.0", "192.168.1.5", "example.org", "::"):
        with pytest.raises(Hw3Error, match="--allow-remote"):
            server.check_host(host, False)
        assert server.check_host(host, True) is True


def test_a_busy_port_is_told_before_anything_is_loaded(tmp_path):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(Hw3Error, match=f"--port {port}: cannot be listened on"):
            server.serve(tmp_path / "no detector", port=port)
    assert server.free_port("127.0.0.1", port) == port and server.free_port("127.0.0.1", 0) > 0
    with pytest.raises(Hw3Error, match="--port 70000: expected a number of 0 to 65535"):
        server.free_port("127.0.0.1", 70000)


def test_a_broken_detector_is_told_before_anything_is_served(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "serving", None)  # would fail
    (tmp_path / "detector.json").write_text("{")
    (tmp_path / "state.safetensors").write_text("")
    with pytest.raises(Hw3Error, match="detector.json: is damaged"):
        server.serve(tmp_path, port=0)
    with pytest.raises(Hw3Error, match="no saved detector"):
        server.serve(tmp_path / "nothing", port=0)


def test_the_command_passes_its_arguments_on(monkeypatch):
    given = {}
    monkeypatch.setattr(server, "serve", lambda detector, **rest: given.update(rest, detector=detector))
    assert main(["app", "bolts", "--port", "0", "--types", "T", "--no-browser", "--theme", "dark"]) == 0
    del given["echo"]
    assert given == {
        "detector": "bolts", "host": "127.0.0.1", "port": 0, "types": "T", "allow_remote": False, "browser": False,
        "theme": "dark",
    }  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="ends a process by a signal")
def test_the_server_serves_its_page_and_ends_with_the_program(tmp_path):
    pytest.importorskip("voila")
    program = (
        "import signal, sys, time; from hw3lib.inspection.app import server\n"
        "signal.signal(signal.SIGTERM, server._end)\n"
        "port = server.free_port('127.0.0.1', 0)\n"
        "with server.serving(lambda content, name: {}, '127.0.0.1', port) as (a, process):\n"
        "    print(a, process.pid, flush=True); time.sleep(60)\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    running = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        address, pid = running.stdout.readline().split()
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert "<title>Inspection of a photograph</title>" in answer.read(3000).decode()
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    finally:
        running.kill()
        running.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    assert list(tmp_path.glob("hw3-app-*")) == []
