"""On the real bottle: what the course claims of transfer learning and of guidance by good images holds there."""

from sklearn.model_selection import StratifiedKFold

from hw3lib.classify import Attempt, run_attempt
from hw3lib.classify.guided import classifier as guided
from hw3lib.data import classification_images, load_table, repeated_splits


def test_transfer_learning_beats_training_from_scratch_on_the_real_bottle(real_data):
    images = classification_images(load_table(real_data, "bottle"))
    assert images["defect"].value_counts().to_dict() == {
        "good": 20, "broken_large": 20, "broken_small": 22, "contamination": 21}  # fmt: skip
    splits = repeated_splits(images, 5, 0.2, 0)
    scratch = run_attempt(Attempt("scratch", image_size=64, batch_size=16), images, splits)
    transfer = run_attempt(
        Attempt("transfer", arch="tf_efficientnet_lite0", strategy="transfer", image_size=224), images, splits
    )
    gain = transfer.gain(scratch)
    # Measured: 83 % against 42 %. The floors leave room for another machine's arithmetic, not for a broken method.
    assert transfer.accuracies.mean() > 0.7
    assert gain.value > 0.2 and gain.sign == 1


def test_guidance_by_good_images_beats_the_whole_image_on_the_real_bottle(real_data, tmp_path):
    table = load_table(real_data, "bottle")
    images = classification_images(table)
    splits = list(StratifiedKFold(3, shuffle=True, random_state=0).split(images, images["defect"]))
    settings = {"arch": "tf_efficientnet_lite0", "image_size": 224, "region_size": 128, "good_images": 60}
    whole_image = {"parts": guided.WHOLE, "classifier": "logistic"}  # the better one on whole images
    methods = guided.DefectGuided(**settings), guided.DefectGuided("whole image", **whole_image, **settings)
    good = guided.good_images(table, images)
    found, whole = (guided.run_guided(method, images, good, splits, keep=tmp_path) for method in methods)
    # Measured: 71 against 66 of 83 images. The floors leave room for another machine's arithmetic.
    assert found.accuracies.mean() > 0.8
    assert found.gain(whole).value > 0
