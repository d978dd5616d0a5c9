"""On the real bottle: what the course claims of transfer learning holds there."""

from hw3lib.classify import Attempt, run
from hw3lib.data import classification_images, load_table, repeated_splits


def test_transfer_learning_beats_training_from_scratch_on_the_real_bottle(real_data):
    images = classification_images(load_table(real_data, "bottle"))
    assert images["defect"].value_counts().to_dict() == {
        "good": 20, "broken_large": 20, "broken_small": 22, "contamination": 21}  # fmt: skip
    splits = repeated_splits(images, 5, 0.2, 0)
    scratch = run(Attempt("scratch", image_size=64, batch_size=16), images, splits)
    transfer = run(
        Attempt("transfer", arch="tf_efficientnet_lite0", strategy="transfer", image_size=224), images, splits
    )
    gain, low, _ = transfer.gain(scratch)
    # Measured: 83 % against 42 %. The floors leave room for another machine's arithmetic, not for a broken method.
    assert transfer.accuracies.mean() > 0.7
    assert gain > 0.2 and low > 0
