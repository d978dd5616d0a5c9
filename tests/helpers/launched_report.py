"""A tiny report, to be launched in several processes; each writes what it told and found into ``OUT.<process>``."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from hw3lib.classify.student_reports import run as reproduction
from hw3lib.data import load_table
from tests.helpers.tiny_report import LITE, tiny


def main(data: str, runs: str, out: str) -> None:
    """Rows 1 and 3 have the same settings once they are tiny; row 4 learns in two stages."""
    report = tiny()
    *rows, last = report.rows
    stages = replace(last.attempt, arch=LITE, strategy="two-stage", fine_tune_epochs=1)
    report = replace(report, rows=(*rows, replace(last, attempt=stages)))
    table, said = load_table(data, "widget"), []
    done = reproduction.reproduce(report, table, repeats=2, numbers=[1, 3, 4], runs_dir=runs, echo=said.append)
    found = {"said": said, "accuracy": done.rows["accuracy"].tolist()}
    Path(f"{out}.{os.environ['RANK']}").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
