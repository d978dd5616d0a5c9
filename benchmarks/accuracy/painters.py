"""Are generated categories as hard as real ones, and do detectors come in the published order? Where painters aim.

Detectors and the plain transfer of notebooks 04 and 02, with the notebooks' settings, on a generated category, and on
the real one of the same name where its folder is given. What is painted is set by this; nothing else is chosen by it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hw3lib.anomaly.comparison import compare_types, evaluate
from hw3lib.anomaly.registry import make_detector
from hw3lib.classify import Attempt, run_attempt
from hw3lib.core.places import project_root
from hw3lib.data import ImageStack, classification_images, load_table, repeated_splits
from hw3lib.data.synthetic import make

# As notebook 04 has them: its quick profile trains half as long.
DETECTORS: dict[str, tuple[str, dict[str, Any]]] = {
    "PatchCore": ("patchcore", {}),
    "PaDiM": ("padim", {}),
    "CutPaste": ("cutpaste", {}),
    "autoencoder (SSIM)": ("autoencoder", {"loss": "ssim"}),
    "Mahalanobis": ("mahalanobis", {}),
    "k-nearest neighbours": ("knn", {}),
    "isolation forest": ("iforest", {}),
}
TRANSFER = Attempt("transfer", arch="tf_efficientnet_lite0", strategy="transfer", image_size=224, epochs=30)


def main(
    category: str, data: str | None, rows: tuple[str, ...] = tuple(DETECTORS), profile: str = "quick", count: int = 1
) -> None:
    """Print image AUROC of each detector, by type of defect too, and the accuracy of transfer over 10 splits.

    Args:
        category: a generated one; or a real one, in ``data``.
        data: folder that holds the real category of that name.
        rows: of :data:`DETECTORS`.
        profile: of the generated category, and of the training of detectors.
        count: draws of the generated category, the first being the course's.
    """
    name = category.removeprefix("synthetic/")
    tables = {f"real {name}": load_table(data, name)} if data else {}
    for seed in range(count):
        root = project_root() / "runs" / "benchmark-painters" / f"{profile}-{seed}"
        make(name, root, profile, seed)
        tables[f"drawn {seed}"] = load_table(root, f"synthetic/{name}")
    found = {title: figures(table, rows, profile) for title, table in tables.items()}
    print(f"{name}, {profile}: image AUROC of detectors, accuracy of transfer, %")
    print((100 * pd.DataFrame(found)).round(1).to_string(na_rep=""))


def figures(table: pd.DataFrame, rows: tuple[str, ...] = tuple(DETECTORS), profile: str = "quick") -> pd.Series:
    """Fractions: a row a detector, and one a detector and type of defect; the last is the accuracy of transfer."""
    good = ImageStack.load(table[(table["split"] == "train") & ~table["is_defect"]], 224)
    test = table[table["split"] == "test"].reset_index(drop=True)
    images, found = ImageStack.load(test, 224), {}
    types = []
    for label in rows:
        detector = make_detector(*DETECTORS[label])
        if profile == "quick" and hasattr(detector, "num_steps"):
            detector.num_steps //= 2
        result = evaluate(detector, good, test.assign(mask=None), images, label=label)
        found[label] = result.metrics["image_auroc"]
        types.append(compare_types([result], test["defect"]))
    for row in pd.concat(types).itertuples():
        found[f"{row.detector}: {row.defect}"] = row.image_auroc
    labelled = classification_images(table, random_state=0)
    splits = repeated_splits(labelled, 10, 0.2, 0)
    found["transfer"] = float(np.mean(run_attempt(TRANSFER, labelled, splits).accuracies))
    return pd.Series(found)
