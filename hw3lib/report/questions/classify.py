"""Question 2: attempts to improve a classifier of defect types."""

from __future__ import annotations

from .document import Question, beside, figure, table, text
from .lacking import lacking, not_possible
from .runs import NOTHING, Run
from .sentences import STARRED, leading, note, power

METRICS, ATTEMPTS = "02/metrics.json", "02/attempts.csv"
LIMIT = 150
ROWS = 9  # the best, and the baseline wherever it stands


def attempts(run: Run) -> Question:
    """Table of attempts with the best marked, hyperparameters, the best model and why."""
    question = Question(2, "Attempts to improve a model", limit=LIMIT)
    if ended := not_possible(run, "02", "leaderboard"):
        question.blocks = [ended]
        return question
    picture = run.figure("02", "leaderboard", "confusions")
    written = text(_text(run))
    caption = "Mean accuracy on test images and its 95 % interval; dashed, the baseline."
    question.blocks = [
        _table(run),
        beside([written, lacking(run, "02")], [figure(picture, caption, 80, 52) if picture else None], 80),
    ]
    return question


def _table(run: Run) -> dict:
    board = run.rows(METRICS, "/leaderboard")
    best, baseline = run.value(METRICS, "/best"), run.value(METRICS, "/baseline")
    settings = {}
    if run.has(ATTEMPTS):
        settings = {row.get("name"): i for i, row in enumerate(run.rows(ATTEMPTS, ""))}
    names = [row.get("attempt") for row in board]
    shown = list(range(len(board)))
    if len(shown) > ROWS:
        must = [names.index(name) for name in (best, baseline) if name in names]
        shown = sorted({*must, *[i for i in shown if i not in must][: ROWS - len(set(must))]})
    rows: list[list[str]] = []
    marked = None
    for i in shown:
        at = f"/leaderboard/{i}"

        def value(key: str, spec: str = "s", at: str = at) -> str:
            return run.mark(METRICS, f"{at}/{key}", spec, optional=True)

        setting = f"/{settings.get(names[i], -1)}"

        def chosen(key: str, spec: str, setting: str = setting) -> str:
            return run.mark(ATTEMPTS, f"{setting}/{key}", spec, optional=True) if setting != "/-1" else "–"

        gain = run.interval(METRICS, at, "gain", spec="+.1f") if names[i] != baseline else NOTHING
        if names[i] == best:
            marked = len(rows)
        rows.append(
            [
                run.mark(METRICS, f"{at}/attempt") + (" (best)" if names[i] == best else ""),
                run.mark(METRICS, f"{at}/arch"),
                value("strategy"),
                value("image_size", ".0f"),
                chosen("lr", "g"),
                chosen("batch_size", ".0f"),
                chosen("epochs", ".0f"),
                run.interval(METRICS, at, "accuracy", "ci"),
                gain,
            ]
        )
    splits = run.mark(METRICS, "/leaderboard/0/n_splits", ".0f", optional=True)
    caption = (
        f"Attempts on {splits} repeated splits: mean accuracy and gain on the baseline over the same splits (paired), "
        f"with 95 % intervals. {STARRED}"
    )
    caption += power(run, METRICS)
    if len(shown) < len(board):
        caption += " All attempts: 02/leaderboard.csv."
    header = ["attempt", "network", "strategy", "px", "rate", "batch", "epochs", "accuracy, %", "gain, points"]
    return table(caption, header, rows, marked, left=3)


def _text(run: Run) -> str:
    """Notebook 02's summary, as many whole sentences as the limit allows, or else two sentences of our own."""
    if run.has(METRICS, "/summary"):
        words, left_out = leading(str(run.value(METRICS, "/summary")), LIMIT)
        if left_out:
            run.notes.append(note(2, left_out, "02", LIMIT))
        if words:
            return run.quote(METRICS, "/summary", words)
    board = run.rows(METRICS, "/leaderboard")
    best = next((i for i, row in enumerate(board) if row.get("attempt") == run.value(METRICS, "/best")), 0)
    return (
        f"The best attempt is {run.mark(METRICS, f'/leaderboard/{best}/attempt')}: "
        f"{run.interval(METRICS, f'/leaderboard/{best}', 'accuracy', 'ci')} % correct, with its 95 % interval."
    )
