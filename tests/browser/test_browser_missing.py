"""A machine without a browser skips the browser tests with the reason; one that must have a browser fails them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("test_browser_app.py")


@pytest.mark.parametrize(
    ("required", "code", "outcome"),
    [({"CI": ""}, 0, "skipped"), ({"HW3_REQUIRE_BROWSER": "1"}, 1, "error"), ({"CI": "true"}, 1, "error")],
)
def test_without_a_browser(tmp_path, required, code, outcome):
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "HW3_REQUIRE_BROWSER", "CHROMIUM")}
    environment |= {"PATH": str(tmp_path), **required}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == code, done.stdout
    last = done.stdout.splitlines()[-1]
    assert outcome in last and "passed" not in last
    assert "no browser: install chromium, or set CHROMIUM to one" in done.stdout
