"""The answer to the assignment from a run's results, on at most three pages, every number traced to its file.

python docs/examples/write_a_report.py [RUN]
"""

import sys

from hw3lib.report import build, find_run

run = find_run(sys.argv[1] if len(sys.argv) > 1 else None)  # a folder of runs/, by default the newest one
report = build(run, "example-report")
print(f"{report.category}: {report.pages} pages in {report.pdf}, words by question {report.words}")
print("missing:", ", ".join(report.missing) or "nothing")
number = report.numbers[0]
print("its first number and where that came from:", number)
