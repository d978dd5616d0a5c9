"""Four students' reports as lists of attempts, with the figures that they gave beside them.

A report tells what its author wrote down. Where it is silent, the value chosen here stands in ``assumptions`` and is
printed with the results: nobody should take a guess for a fact. Rows are numbered as in the report; a baseline that has
no number is row 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hw3lib.classify.attempts import Attempt
from hw3lib.core.intervals import Interval, wilson_interval
from hw3lib.errors import Hw3Error


@dataclass(frozen=True)
class ReportRow:
    """One row of a report's table.

    Attributes:
        number: as in the report; 0 for a baseline without a number.
        attempt: what it did.
        n_test: images that the reported accuracy was measured on.
        reported: the report's figures. ``accuracy`` is the one that counts and is compared; besides it there are, where
            given, ``train_accuracy``, ``val_accuracy``, ``test_accuracy`` (fractions of one), ``train_loss`` and
            ``val_loss`` (cross-entropy).
        note: what the row of the report was called.
    """

    number: int
    attempt: Attempt
    n_test: int
    reported: Mapping[str, float]
    note: str = ""

    def interval(self) -> Interval:
        """Reported accuracy and its 95 % Wilson interval, fractions of one."""
        accuracy = self.reported["accuracy"]
        return replace(wilson_interval(round(accuracy * self.n_test), self.n_test), value=accuracy)


@dataclass(frozen=True)
class Hypothesis:
    """A finding of a report: row ``better`` reaches a higher accuracy than row ``worse``."""

    text: str
    better: int
    worse: int


@dataclass(frozen=True)
class StudentReport:
    """A report: how it drew its images, its rows, and what it found.

    Attributes:
        name: the product.
        classes: names of the classes in the report.
        n_train, n_test: images in its two parts; each of our repeats draws as many independently.
        per_class: images drawn of each class; None draws ``n_train + n_test`` images with the classes in proportion.
        rows: the attempts.
        baseline, best: numbers of rows.
        hypotheses: its findings, as pairs of rows.
        assumptions: what the report does not say and was chosen here.
    """

    name: str
    classes: tuple[str, ...]
    n_train: int
    n_test: int
    per_class: int | None
    rows: tuple[ReportRow, ...]
    baseline: int
    best: int
    hypotheses: tuple[Hypothesis, ...]
    assumptions: tuple[str, ...]

    def row(self, number: int) -> ReportRow:
        """The row with this number.

        Raises:
            Hw3Error: there is none.
        """
        for row in self.rows:
            if row.number == number:
                return row
        numbers = ", ".join(str(row.number) for row in self.rows)
        raise Hw3Error(f"row {number}: the {self.name} report has the rows {numbers}")


def _carpet() -> StudentReport:
    def row(number: int, network: str, lr: float, accuracy: float, figures: tuple, note: str, **changes) -> ReportRow:
        name = {0: f"{network}, fewer images", 4: f"{network}, rate 0.01"}.get(number, network)
        attempt = Attempt(
            name, network.lower(), "fine-tune", image_size=32, lr=lr, epochs=50, batch_size=32, patience=10, **changes
        )
        train_accuracy, train_loss, val_loss = figures
        reported = {
            "accuracy": accuracy,
            "train_accuracy": train_accuracy,
            "train_loss": train_loss,
            "val_accuracy": accuracy,
            "val_loss": val_loss,
        }
        return ReportRow(number, attempt, 22 if number else 12, reported, note)

    return StudentReport(
        "carpet",
        ("good", "color", "cut", "hole", "metal_contamination", "thread"),
        n_train=87,
        n_test=22,
        per_class=None,
        rows=(
            row(0, "ResNet18", 1e-3, 0.4167, (1.0, 0.22, 2.54), "Baseline", images_per_class=8),
            row(1, "ResNet18", 1e-3, 0.7273, (0.977, 0.29, 1.23), "Exp. 1 more data"),
            row(2, "ResNet34", 1e-3, 0.9091, (1.0, 0.21, 0.95), "Exp. 2 deeper (best)"),
            row(3, "ResNet50", 1e-3, 0.7727, (0.977, 0.19, 1.01), "Exp. 3 deeper still"),
            row(4, "ResNet34", 1e-2, 0.7727, (0.977, 0.04, 1.72), "Exp. 4 Exp. 2 with a higher rate"),
        ),
        baseline=0,
        best=2,
        hypotheses=(
            Hypothesis("more data helps", 1, 0),
            Hypothesis("a deeper network helps", 2, 1),
            Hypothesis("a still deeper one is worse", 2, 3),
            Hypothesis("a higher learning rate hurts", 2, 4),
            Hypothesis("the best row beats the baseline", 2, 0),
        ),
        assumptions=(
            "all networks begin with ImageNet weights and learn as a whole",
            "early stopping waits 10 epochs, and its validation images come out of the training part",
            "the baseline learns from 8 images a class (10 less a fifth) and is tested on the images of all other rows",
        ),
    )


def _wood() -> StudentReport:
    def row(number: int, train_accuracy: float, accuracy: float, attempt: Attempt, note: str) -> ReportRow:
        reported = {"accuracy": accuracy, "train_accuracy": train_accuracy, "test_accuracy": accuracy}
        return ReportRow(number, replace(attempt, image_size=128, epochs=30, lr=1e-3), 26, reported, note)

    return StudentReport(
        "wood",
        ("good", "liquid", "hole", "color", "combined"),
        n_train=53,
        n_test=26,
        per_class=None,
        rows=(
            row(0, 0.245, 0.23, Attempt("simple CNN, SGD", optimiser="sgd"), "Baseline"),
            row(1, 0.301, 0.269, Attempt("simple CNN, Adam"), "1"),
            row(2, 0.358, 0.346, Attempt("ResNet18 from scratch", "resnet18"), "2"),
            row(3, 0.603, 0.615, Attempt("ResNet18, last layer only", "resnet18", "transfer"), "3"),
            row(
                4,
                0.83,
                0.692,
                Attempt("ResNet18, two stages", "resnet18", "two-stage", fine_tune_epochs=10, fine_tune_lr=1e-4),
                "4 (best)",
            ),
        ),
        baseline=0,
        best=4,
        hypotheses=(
            Hypothesis("Adam instead of SGD helps", 1, 0),
            Hypothesis("a deeper network helps", 2, 1),
            Hypothesis("pretraining helps", 3, 2),
            Hypothesis("a second stage of fine-tuning helps", 4, 3),
            Hypothesis("the best row beats the baseline", 4, 0),
        ),
        assumptions=(
            "images of 128 px, batches of 32",
            "the report names 5 classes, but its 79 images are the whole test folder: scratch is the sixth",
            "SGD has a momentum of 0.9",
            "the 10 epochs of the second stage train all layers",
        ),
    )


def _bottle() -> StudentReport:
    def row(number: int, network: str, accuracy: float, note: str, **settings) -> ReportRow:
        scratch = settings.get("strategy", "scratch") == "scratch"
        name = f"{network} from scratch" if scratch else f"{network}, pretrained"
        if number == 4:
            name += ", lower rate"
        attempt = Attempt(name, network.lower(), image_size=128, **settings)
        return ReportRow(number, attempt, 8, {"accuracy": accuracy}, note)

    return StudentReport(
        "bottle",
        ("good", "broken_large", "broken_small", "contamination"),
        n_train=32,
        n_test=8,
        per_class=10,
        rows=(
            row(1, "ResNet34", 0.375, "1", lr=5e-3, epochs=50, batch_size=32),
            row(2, "ResNet34", 0.5, "2", strategy="fine-tune", lr=1e-3, epochs=50, batch_size=16),
            row(3, "ResNet18", 0.25, "3", lr=5e-3, epochs=50, batch_size=32),
            row(4, "ResNet18", 0.875, "4 (best)", lr=1e-3, epochs=100, batch_size=16),
        ),
        baseline=1,
        best=4,
        hypotheses=(
            Hypothesis("a pretrained network helps", 2, 1),
            Hypothesis("a lower rate and more epochs help", 4, 3),
            Hypothesis("the best row beats the baseline", 4, 1),
        ),
        assumptions=(
            "10 images a class, 32 to train on and 8 to test on: the accuracies are multiples of 12.5 %",
            "row 2 begins with ImageNet weights and learns as a whole; the other rows learn from scratch",
            "row 1 is the baseline",
        ),
    )


def _capsule() -> StudentReport:
    small, large = "ResNet18", "EfficientNet_v2_l"
    table = (  # number, network, batch, pixels, normalised, training loss and accuracy, validation's, test accuracy
        (1, small, 32, 32, False, 1.730, 0.2396, 1.752, 0.2917, 0.4167),
        (2, large, 4, 64, False, 2.120, 0.2292, 2.785, 0.125, 0.375),
        (3, large, 16, 64, False, 2.139, 0.1875, 2.042, 0.0833, 0.375),
        (4, large, 32, 64, False, 1.901, 0.1771, 1.905, 0.0833, 0.4583),
        (5, large, 64, 64, False, 1.903, 0.1875, 1.842, 0.1667, 0.25),
        (6, large, 32, 128, False, 1.785, 0.2813, 1.807, 0.25, 0.25),
        (7, large, 32, 128, True, 1.779, 0.2917, 1.736, 0.375, 0.375),
        (8, large, 32, 256, True, 1.569, 0.3542, 1.665, 0.2917, 0.4167),
        (9, large, 32, 512, True, 1.443, 0.3646, 1.233, 0.625, 0.75),
        (10, small, 32, 512, True, 1.655, 0.3229, 1.682, 0.375, 0.4583),
    )
    rows = []
    for number, network, batch, pixels, normalised, train_loss, train_accuracy, val_loss, val_accuracy, test in table:
        attempt = Attempt(
            f"{network}, {pixels} px"
            + (f", batch {batch}" if pixels == 64 else "")
            + (", normalised" if normalised else ""),
            network.lower(),
            "transfer",
            image_size=pixels,
            normalise=normalised,
            rotation=10.0 if number > 1 else 0.0,
            colour_jitter=0.1 if number > 1 else 0.0,
            lr=1e-3,
            cosine=True,
            epochs=200,
            batch_size=batch,
        )
        reported = {
            "accuracy": test,
            "train_accuracy": train_accuracy,
            "train_loss": train_loss,
            "val_accuracy": val_accuracy,
            "val_loss": val_loss,
            "test_accuracy": test,
        }
        note = {1: "original", 9: "best"}.get(number, "")
        rows.append(ReportRow(number, attempt, 24, reported, note))
    return StudentReport(
        "capsule",
        ("good", "crack", "faulty_imprint", "poke", "scratch", "squeeze"),
        n_train=96,
        n_test=24,
        per_class=20,
        rows=tuple(rows),
        baseline=1,
        best=9,
        hypotheses=(
            Hypothesis("512 px instead of 64 px help", 9, 4),
            Hypothesis("512 px instead of 256 px help", 9, 8),
            Hypothesis("normalising helps", 7, 6),
            Hypothesis("a larger pretrained network helps", 9, 10),
            Hypothesis("batches of 32 instead of 4 help", 4, 2),
            Hypothesis("batches of 32 instead of 64 help", 4, 5),
            Hypothesis("the best row beats the baseline", 9, 1),
        ),
        assumptions=(
            "only the new last layer learns: after 200 epochs the training accuracies are 18 to 36 %, and whole "
            "networks learn 96 images by heart",
            "images that are not normalised are divided by 255",
            "rotation by up to 10 degrees and colour jitter of 10 %",
        ),
    )


REPORTS: dict[str, StudentReport] = {report.name: report for report in (_carpet(), _wood(), _bottle(), _capsule())}
