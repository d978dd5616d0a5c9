"""What every run writes into ``metrics.json``, for those who read it: the report, the summary, the comparison."""

from __future__ import annotations

COMMON_KEYS = ("notebook", "category", "profile", "seconds", "seeds", "versions", "device", "data_digest")
CHAPTER_KEYS = {
    "01": ("images", "train", "test", "classes", "defect_classes", "image_size"),
    "02": ("leaderboard", "best", "baseline"),
    "03": ("methods",),
    "04": ("detectors", "threshold", "false_alarm_rate"),
    "05": ("formats", "sam", "detection"),
    "06": ("pages", "words", "missing"),
    "07": ("line", "unseen", "drift"),
}
ENDED = "ended"  # true where a chapter had nothing to do: its keys are null, and ``left_out`` says why
PHOTOGRAPHS = "hw3lib.photographs"  # in a figure's PNG: where its photographs are, and what stands around each


class ChapterEnds(Exception):
    """Ends a notebook before its last cell: all that it can say of a category is said and written."""

    def _render_traceback_(self) -> list[str]:  # what IPython shows of it
        return [str(self)]
