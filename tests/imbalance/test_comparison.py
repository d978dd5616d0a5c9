"""The comparison: what methods may see, figures and verdicts by hand, and what is kept."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hw3lib.core.intervals import corrected_interval, crossed_interval
from hw3lib.data import load_table, repeated_splits
from hw3lib.errors import Hw3Error
from hw3lib.imbalance import comparison
from hw3lib.imbalance.comparison import compare_methods, figures, tails
from hw3lib.imbalance.methods import training
from hw3lib.imbalance.methods.heads import Recipe
from hw3lib.imbalance.methods.table import METHODS, Method
from hw3lib.imbalance.methods.training import Part
from hw3lib.imbalance.oversamplers.deepsmote import DeepSmote
from hw3lib.imbalance.result import MethodComparison

SHORT = Recipe(steps=10, batch_size=8)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pd.DataFrame:
    """40 images of 32x32 pixels: good and three defect types, ten each, each type of another colour."""
    root, rng = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for i, name in enumerate(("good", "blue", "green", "red")):
        (root / "colours" / name).mkdir(parents=True)
        for j in range(10):
            pixels = rng.integers(80, 120, (32, 32, 3), dtype=np.uint8)
            if i:
                pixels[8:24, 8:24, 3 - i] = 230
            Image.fromarray(pixels).save(root / "colours" / name / f"{j}.png")
    return load_table(root, "colours")


@pytest.fixture(scope="module")
def splits(table):
    """Three splits, 32 images to train on and 8 to test on."""
    return repeated_splits(table, 3, 8)


class Means:
    """Stands for a backbone: features are the mean colours."""

    weak = strong = 2

    def plain_views(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().mean((2, 3))

    def weak_views(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.plain_views(images)] * 2, 1)


def make_part(counts=(8, 6, 2), unlabelled: int = 6, steps: int = 60, seed: int = 0) -> Part:
    """A part whose classes are far apart in six dimensions."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))

    def views_of(labels: torch.Tensor) -> torch.Tensor:
        at = 5 * torch.eye(len(counts), 6)[labels]
        return at[:, None] + torch.randn(len(labels), 2, 6, generator=rng)

    views, more = views_of(y), views_of(torch.arange(unlabelled) % len(counts))
    images = torch.randint(0, 256, (len(y), 3, 32, 32), dtype=torch.uint8, generator=rng)
    recipe = Recipe(steps=steps, batch_size=8, lr=0.02)
    masks = np.zeros((len(y), 32, 32), bool)
    masks[y > 0, 8:16, 8:16] = True
    return Part(views[:, 0], views, y, len(counts), images, masks, 0, more, more + 0.1, Means(), recipe, seed)


class Caught(Exception):
    """Holds what a method would have trained on."""


def caught(part: Part, fit) -> dict:
    """What a method hands to the training."""

    def train(*arguments, **named):
        raise Caught(named)

    part.train = train
    with pytest.raises(Caught) as error:
        fit(part)
    return error.value.args[0]


# Figures


def test_figures_by_hand():
    y, y_pred = [0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 0, 1, 2, 0]
    found = figures(np.array(y), np.array(y_pred), counts=[9, 4, 2])
    # recalls 1, 1/2, 1/2; precisions 4/6, 1, 1
    f1 = [2 * 4 / (4 + 6), 2 / 3, 2 / 3]
    expected = {"balanced_accuracy": 2 / 3, "g_mean": 0.25 ** (1 / 3), "macro_f1": sum(f1) / 3, "tail_recall": 0.5}
    assert found == pytest.approx(expected)


def test_a_recall_of_zero_counts_as_a_thousandth_in_the_g_mean():
    found = figures(np.array([0, 0, 1]), np.array([0, 0, 0]), counts=[9, 1])
    assert found["g_mean"] == pytest.approx(0.001**0.5)
    assert found["tail_recall"] == 0


def test_the_tail_are_all_classes_with_fewest_training_images():
    found = figures(np.array([0, 1, 2]), np.array([0, 1, 0]), counts=[5, 2, 2])
    assert found["tail_recall"] == 0.5


def test_every_type_is_the_tail_equally_often_and_good_never_is(table):
    orders = tails(table, 6, seed=0)
    assert all(sorted(order) == ["blue", "green", "red"] for order in orders)
    for place in range(3):
        assert sorted(order[place] for order in orders) == ["blue", "blue", "green", "green", "red", "red"]
    assert orders != tails(table, 6, seed=1)


# Tables, verdicts and the paragraph


def made_up(gains: dict[str, list[float]], seconds: dict[str, float] | None = None) -> MethodComparison:
    """Four splits at one ratio and another; plain reaches 0.5, 0.6, 0.5, 0.6, others what is given above it."""
    base, seconds = [0.5, 0.6, 0.5, 0.6], seconds or {}
    rows = []
    for ratio, shift in ((5, 0.0), (10, -0.1)):
        for method, gain in ({"plain": [0.0] * 4} | gains).items():
            for i in range(4):
                value = base[i] + shift + gain[i]
                rows.append((method, ratio, i, "ab"[i % 2], value, value, value, value - 0.2, seconds.get(method, 0.5)))
    columns = ["method", "ratio", "split", "tail", "balanced_accuracy", "g_mean", "macro_f1", "tail_recall", "seconds"]
    return MethodComparison(pd.DataFrame(rows, columns=columns), ["good", "a", "b"], 40, 10)


GAINS = {"good one": [0.2, 0.22, 0.2, 0.22], "bad one": [-0.2, -0.21, -0.2, -0.21], "noise": [0.1, -0.1, 0.1, -0.1]}


def test_the_table_pairs_each_split_with_plain_training_of_the_same_ratio():
    found = made_up(GAINS).table().set_index(["method", "ratio"])
    row = found.loc[("noise", 10)]
    assert row["balanced_accuracy"] == pytest.approx(0.45)
    expected = corrected_interval(GAINS["noise"], 40, 10, kind="difference")
    assert tuple(row[["gain", "gain_low", "gain_high"]]) == pytest.approx((expected.value, expected.low, expected.high))
    bad = found.loc[("bad one", 5)]
    assert bad["gain"] == pytest.approx(-0.205)
    assert bad["ci_low"] == pytest.approx(corrected_interval([0.3, 0.39, 0.3, 0.39], 40, 10, kind="share").low)
    assert found.loc[("plain", 5), ["gain", "gain_low", "gain_high"]].isna().all()


def test_the_table_is_sorted_by_ratio_and_balanced_accuracy():
    found = made_up(GAINS).table()
    assert found["ratio"].tolist() == [5] * 4 + [10] * 4
    assert found["method"].tolist()[:4][0] == "good one" and found["method"].tolist()[3] == "bad one"


def test_verdicts_are_those_of_all_methods_together():
    found = made_up(GAINS).ranking().set_index("method")["verdict"]
    assert found.to_dict() == {"good one": "helps", "bad one": "hurts", "noise": "not significant", "plain": ""}
    # Alone its interval leaves out 0; beside twenty others p = 0.02 is nothing.
    weak = [0.05, 0.04, 0.06, 0.085]
    alone, many = (
        made_up({"weak": weak} | rest).ranking() for rest in ({}, {f"x{i}": GAINS["noise"] for i in range(20)})
    )
    assert alone.loc[0, "verdict"] == "helps" and many.loc[0, "verdict"] == "not significant"
    assert many.loc[0, "gain_low"] == alone.loc[0, "gain_low"] > 0
    assert many.loc[0, "gain_p"] == pytest.approx(21 * alone.loc[0, "gain_p"])


def test_the_ranking_takes_a_splits_mean_over_the_ratios():
    found = made_up(GAINS, {"bad one": 6.0}).ranking().set_index("method")
    assert found["rank"].to_dict()["good one"] == 1
    assert found.loc["plain", "balanced_accuracy"] == pytest.approx(0.5)
    expected = corrected_interval([0.45, 0.55, 0.45, 0.55], 40, 10, kind="share")
    assert tuple(found.loc["plain", ["ci_low", "ci_high"]]) == pytest.approx((expected.low, expected.high))
    assert found.loc["bad one", "cost"] == pytest.approx(12)


def test_a_splits_tails_are_averaged_before_the_interval():
    one = made_up(GAINS)
    other = one.figures.assign(tail="b", balanced_accuracy=one.figures["balanced_accuracy"] + 0.1)
    both = MethodComparison(pd.concat([one.figures, other]), one.classes, 40, 10)
    for whole, part in ((both.table(), one.table()), (both.ranking(), one.ranking())):
        assert (whole["balanced_accuracy"] - part["balanced_accuracy"]).tolist() == pytest.approx([0.05] * len(part))
        pd.testing.assert_series_equal(whole["gain_low"], part["gain_low"])
    with pytest.raises(Hw3Error, match="same ratios, splits and tails"):
        MethodComparison(pd.concat([one.figures, other.iloc[:-1]]), one.classes, 40, 10)


def test_sets_are_compared_on_each_other():
    own = made_up(GAINS)
    rng, shared = np.random.default_rng(0), np.zeros((4, 4))
    parts = {name: [rng.normal(0.5, 0.1, 4) for _ in range(4)] for name in own.figures["method"].unique()}
    figures = own.figures.assign(
        by_set=[parts[row.method][row.split] + row.ratio / 100 for row in own.figures.itertuples()]
    )
    found = MethodComparison(figures, own.classes, 10, 30, crossed=True)
    for rows, more in ((found.table(), [5, 10]), (found.ranking(), [7.5])):
        row = rows[rows["method"] == "noise"].iloc[0]
        gain = crossed_interval(np.stack(parts["noise"]) - np.stack(parts["plain"]), 40, kind="difference")
        assert (row["gain"], row["gain_low"]) == pytest.approx((gain.value, gain.low))
        reached = crossed_interval(np.stack(parts["noise"]) + more[0] / 100 + shared, 40, kind="share")
        assert row["balanced_accuracy"] == pytest.approx(reached.value)
    assert str(found.design).startswith("4 independent sets of 10 images") and "independent sets" in found.text()


def test_the_paragraph_says_what_the_figures_say():
    text = made_up(GAINS, {"noise": 20.0}).text()
    assert (
        "significant gains: good one." in text
        and "worse: bad one." in text
        and "No significant difference: noise." in text
    )
    assert "is that of good one: 71%, +21.0 points (+18.4 to +23.6) against plain; rarest defect type 51%." in text
    assert "noise, takes 40 times" in text
    assert 110 <= len(text.split()) <= 190


def test_the_paragraph_names_the_tail_that_was_made():
    several = made_up(GAINS)
    assert "another type in each split" in several.text()
    one = MethodComparison(several.figures.assign(tail="a"), ["good", "a"], 40, 10)
    assert "only defect type" in one.text() and "another type" not in one.text()


def test_the_paragraph_counts_methods_where_it_would_name_very_many():
    text = made_up({f"noise {i}": GAINS["noise"] for i in range(6)}).text()
    assert "No significant difference: 6 methods." in text and "noise 5" not in text


def test_the_paragraph_is_true_where_nothing_helps():
    text = made_up({"bad one": GAINS["bad one"], "noise": GAINS["noise"]}).text()
    assert "significant gains: none." in text
    assert "No method takes 10 times" in text
    assert "helps" not in text


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        ([0.1, 0.11, 0.1, 0.11], "gains +10.5 points (+9.2 to +11.8): so much could be won back."),
        ([0.1, -0.1, 0.1, -0.1], "nothing to win back can be shown on these splits."),
    ],
)
def test_the_paragraph_says_what_the_missing_images_are_worth(gain, expected):
    text = made_up(GAINS | {"all images": gain}).text()
    assert expected in text and "3 methods were compared" in text


def test_plain_training_alone_has_a_paragraph_too():
    text = made_up({}).text()
    assert "50 % (32 to 68) of a class" in text and "significant" not in text


def test_figures_that_cannot_be_paired_are_refused():
    whole = made_up(GAINS)
    with pytest.raises(Hw3Error, match="plain"):
        MethodComparison(whole.figures[whole.figures["method"] != "plain"], whole.classes, 40, 10)
    with pytest.raises(Hw3Error, match="same ratios, splits and tails"):
        MethodComparison(whole.figures.iloc[:-1], whole.classes, 40, 10)


# Methods


@pytest.mark.parametrize(
    "name",
    [name for name, method in METHODS.items() if method.kind not in ("generated images", "pasted defects", "mixing")]
    + ["mixup"],
)
def test_every_method_learns_comes_again_and_leaves_torchs_generator(name):
    part = make_part()
    state = torch.random.get_rng_state()
    scores = METHODS[name].fit(part)
    assert torch.equal(torch.random.get_rng_state(), state)
    fresh = make_part(counts=(20, 20, 20), seed=1)
    with torch.no_grad():
        first = scores(fresh.plain)
        assert first.shape == (60, 3)
        assert (first.argmax(1) == fresh.y).float().mean() > 0.85
    assert torch.equal(METHODS[name].fit(make_part())(fresh.plain), first)


def test_all_methods_start_from_the_same_weights():
    heads = [make_part(steps=1).train(loss, cosine=cosine) for cosine in (False, True) for loss in (no_loss, no_loss)]
    assert torch.equal(heads[0].linear.weight, heads[1].linear.weight)
    assert torch.equal(heads[2].linear.weight, heads[3].linear.weight)
    assert torch.equal(heads[0].linear.weight, heads[2].linear.weight)


def no_loss(head, x, y, step):
    return 0 * head.linear.weight.sum()


def test_smote_makes_features_between_images_in_each_view_and_keeps_the_originals():
    part = make_part(counts=(8, 4, 2))
    given = caught(part, METHODS["SMOTE"].fit)
    views, y = given["views"], given["y"]
    assert torch.bincount(y).tolist() == [8, 8, 8]
    assert torch.equal(views[:14], part.views)
    for v in range(2):
        a, b = part.views[12:, v]
        for made in views[14:][y[14:] == 2][:, v]:
            gap = ((made - a) @ (b - a)) / ((b - a) @ (b - a))
            assert 0 <= gap <= 1 and torch.allclose(made, a + gap * (b - a), atol=1e-4)


def test_random_oversampling_copies_all_views_of_an_image():
    part = make_part(counts=(8, 4, 1))
    views = caught(part, METHODS["random oversampling"].fit)["views"]
    assert len(views) == 24
    assert all(any(torch.equal(made, image) for image in part.views) for made in views[13:])


def test_balanced_batches_hold_every_class_equally():
    part = make_part(counts=(8, 4, 1))
    batches = caught(part, METHODS["balanced batches"].fit)["batches"]
    for _ in range(10):
        assert torch.bincount(part.y[next(batches)]).tolist() == [2, 2, 2]  # 8 // 3 of each


def test_cutmix_mixes_images_and_labels_in_the_same_share():
    part = make_part(counts=(4, 3), seed=3)
    part.images = torch.cat([torch.zeros(4, 3, 32, 32), torch.full((3, 3, 32, 32), 255.0)]).to(torch.uint8)
    given = caught(part, METHODS["cutmix"].fit)
    views, shares = given["views"], given["y"]
    assert views.shape == (14, 1, 3) and shares.shape == (14, 2)
    # black is class 0 and white class 1: the mean brightness is the share of class 1
    assert torch.allclose(views[:, 0, 0] / 255, shares[:, 1], atol=1e-3)
    assert ((shares[:, 1] > 0) & (shares[:, 1] < 1)).any()


def test_without_unlabelled_images_fixmatch_and_adsh_are_plain_training():
    part = make_part(unlabelled=0)
    x = part.plain
    plain = METHODS["plain"].fit(part)(x)
    for name in ("FixMatch", "Adsh"):
        assert torch.equal(METHODS[name].fit(part)(x), plain)
        assert not torch.allclose(METHODS[name].fit(make_part(steps=100))(x), METHODS["plain"].fit(part)(x), atol=1e-3)


def test_adsh_is_fixmatch_until_its_thresholds_move():
    short, long = make_part(steps=50), make_part(steps=70)
    x = short.plain
    same = [METHODS[name].fit(short)(x) for name in ("FixMatch", "Adsh")]
    other = [METHODS[name].fit(long)(x) for name in ("FixMatch", "Adsh")]
    assert torch.equal(*same)
    assert not torch.equal(*other)


@pytest.mark.parametrize("form", ["CosFace", "ArcFace"])
def test_leap_without_a_tail_is_the_loss_it_is_built_on(form):
    equal, tailed = make_part(counts=(4, 4, 4)), make_part(counts=(8, 6, 1))
    name = f"LEAP-{form}"
    assert torch.equal(METHODS[name].fit(equal)(equal.plain), METHODS[form].fit(equal)(equal.plain))
    assert not torch.equal(METHODS[name].fit(tailed)(tailed.plain), METHODS[form].fit(tailed)(tailed.plain))


def test_generated_images_pass_through_the_same_backbone_and_real_features_stay():
    part = make_part(counts=(5, 2))
    part.views = part.embedder.weak_views(part.images)
    fit = training.made(lambda part: DeepSmote(steps=2, width=2, latent_dim=4, random_state=part.seed))
    given = caught(part, fit)
    assert torch.bincount(given["y"]).tolist() == [5, 5]
    assert torch.equal(given["views"][:7], part.views)
    assert (given["views"][7:] > 20).all()  # mean colours of images, not latent vectors


def test_pasted_defects_pass_through_the_same_backbone_and_real_features_stay():
    part = make_part(counts=(6, 3, 1))
    part.images[:6], part.images[6:9], part.images[9:] = 0, 128, 255
    part.views = part.embedder.weak_views(part.images)
    given = caught(part, METHODS["copy-paste"].fit)
    assert torch.bincount(given["y"]).tolist() == [6, 6, 6] and torch.equal(given["views"][:10], part.views)
    # An eighth of the image is defect, with its margin a little more; the rest is good, of level 0.
    levels = {label: given["views"][10:][given["y"][10:] == label].mean() for label in (1, 2)}
    assert 64 / 1024 * 128 < levels[1] < 0.2 * 128 and 64 / 1024 * 255 < levels[2] < 0.2 * 255


def test_without_good_images_copy_paste_is_plain_training():
    part = make_part()
    part.background = None
    assert caught(part, METHODS["copy-paste"].fit) == {}


# The whole


@pytest.fixture
def spy(monkeypatch):
    """Plain training that keeps every part it is given."""
    parts = []

    def fit(part):
        parts.append(part)
        return part.train()

    monkeypatch.setitem(comparison.METHODS, "plain", Method("plain", "unlabelled", "", "", fit))
    return parts


def run(table, splits, **arguments):
    settings = {
        "methods": ["plain"],
        "ratios": [4],
        "image_size": 32,
        "views": 1,
        "recipe": SHORT,
        "device": "cpu",
    } | arguments
    return compare_methods(table, splits, **settings)


def test_methods_see_a_long_tail_of_the_training_part_and_never_a_test_image(table, splits, spy):
    found = run(table, splits, unlabelled=None)
    images = np.stack([np.array(Image.open(path)) for path in table["image"]])
    features = spy[0].embedder.plain_views(torch.from_numpy(images).movedim(-1, 1))
    labels = np.array([["good", "blue", "green", "red"].index(d) for d in table["defect"]])
    for part, (train, test), order in zip(spy, splits, tails(table, 3, 0), strict=True):
        rows = [int((features - f).norm(dim=1).argmin()) for f in part.plain]
        assert len(set(rows)) == len(rows) and set(rows) <= set(train) and not set(rows) & set(test)
        assert labels[rows].tolist() == part.y.tolist()
        counts = dict(zip(["good", "blue", "green", "red"], part.counts, strict=True))
        assert [counts[name] for name in order] == [8, 4, 2] and counts["good"] == 8
        assert len(part.unlabelled_weak) == len(part.unlabelled_strong) == 32 - 22
        assert len(part.images) == len(part.views) == 22
    assert found.n_train == 32 and found.n_test == 8
    assert len(found.figures) == 3


def test_each_split_may_be_run_with_several_tails(table, splits, spy):
    found = run(table, splits, turns=3)
    assert len(spy) == 9
    for _, rows in found.figures.groupby("split"):
        assert sorted(rows["tail"]) == ["blue", "green", "red"]
    with pytest.raises(Hw3Error, match="turns=0"):
        run(table, splits, turns=0)


def test_sets_that_are_tested_on_each_other_have_figures_of_each(table, splits, spy):
    place = table.groupby("defect").cumcount().to_numpy() // 2
    apart = [(np.flatnonzero(place == i), np.flatnonzero(place != i)) for i in range(5)]
    found = run(table, apart, ratios=[2])
    assert found.crossed and not run(table, splits).crossed
    for row in found.figures.itertuples():
        assert row.by_set[row.split] == 0
        assert np.delete(row.by_set, row.split).mean() == pytest.approx(row.balanced_accuracy)


def test_the_ceiling_sees_every_training_image_and_is_no_method(table, splits, spy):
    found = run(table, splits, ceiling=True)
    whole = [part for part in spy if len(part.y) == 32]
    assert len(spy) == 6 and len(whole) == 3
    assert whole[0].counts == [8, 8, 8, 8] and len(whole[0].unlabelled_weak) == 0
    assert found.methods == ["plain"] == found.ranking()["method"].tolist() == found.table()["method"].tolist()
    assert found.ceiling()["method"] == "all images" and found.ceiling(4)["gain"] == found.ceiling()["gain"]
    assert run(table, splits).ceiling() is None


def test_unlabelled_images_are_those_cut_away_and_those_given(table, splits, spy, tmp_path):
    extra = table[table["defect"] == "good"].head(4).reset_index(drop=True)
    rest = table.drop(table.index[table["image"].isin(extra["image"])]).reset_index(drop=True)
    run(rest, repeated_splits(rest, 2, 8), unlabelled=extra)
    assert len(spy[0].unlabelled_weak) == len(rest) - 8 - len(spy[0].y) + 4
    with pytest.raises(Hw3Error, match="good_images"):
        run(table, splits, unlabelled=extra)


def test_finished_splits_are_kept_and_an_interrupted_comparison_goes_on(table, splits, spy, tmp_path):
    first = run(table, splits, keep=tmp_path)
    assert len(spy) == 3
    again = run(table, splits, keep=tmp_path)
    assert len(spy) == 3
    pd.testing.assert_frame_equal(first.figures, again.figures)
    next(iter(tmp_path.glob("tail-*.json"))).unlink()
    next(iter(tmp_path.glob("views-*.npz"))).write_bytes(b"damaged")
    third = run(table, splits, keep=tmp_path)
    assert len(spy) == 4
    pd.testing.assert_frame_equal(first.figures.drop(columns="seconds"), third.figures.drop(columns="seconds"))
    run(table, splits, keep=tmp_path, recipe=Recipe(steps=11, batch_size=8))
    assert len(spy) == 7


def test_methods_get_the_masks_of_their_images_and_the_label_of_good_ones(table, splits, spy, tmp_path):
    marked = table.copy()
    for i in marked.index[marked["is_defect"]]:
        marked.loc[i, "mask"] = str(tmp_path / f"{i}.png")
        mask = np.zeros((32, 32), np.uint8)
        mask[8:24, 8:24] = 255
        Image.fromarray(mask).save(marked.loc[i, "mask"])
    run(marked, splits[:2])
    for part in spy:
        assert part.background == 0
        assert part.masks.shape == (len(part.y), 32, 32)
        assert (part.masks[:, 8:24, 8:24].all((1, 2)) == (part.y.numpy() > 0)).all()
    with pytest.raises(Hw3Error, match="no image has one; leave it out"):
        run(table.assign(mask=None), splits, methods=["copy-paste"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"methods": ["SMOT"]}, "unknown 'SMOT'"),
        ({"ratios": [1]}, "above 1"),
        ({"ratios": []}, "one or more"),
    ],
)
def test_bad_arguments_are_refused(table, splits, arguments, message):
    with pytest.raises(Hw3Error, match=message):
        run(table, splits, **arguments)
    with pytest.raises(Hw3Error, match="2 or more"):
        run(table, splits[:1])


def test_every_method_names_its_paper_and_equation():
    for name, method in METHODS.items():
        assert name == method.name and method.paper and method.equation
    assert next(iter(METHODS)) == "plain"


def test_unlabelled_images_of_products_that_are_compared_are_left_out_and_products_count(table, monkeypatch):
    table = table.reset_index(drop=True).assign(group=[f"p{i}" for i in range(len(table))])
    seen = []

    def outcome(method, features, labels, learn, unseen, test, *rest):
        seen.append(len(features.table))
        return {"y_pred": labels[test].tolist(), "seconds": 0.0}

    monkeypatch.setattr(comparison, "_outcome", outcome)
    own = table.iloc[:28]
    more = table.iloc[28:].assign(group=["p0", "p1", *(f"q{i}" for i in range(len(table) - 30))])
    numbers = np.arange(28) // 2 % 3
    sets = [(np.flatnonzero(numbers == i), np.flatnonzero(numbers != i)) for i in range(3)]

    def compared(images):
        return compare_methods(
            images, sets, methods=["plain"], ratios=[2], image_size=32, unlabelled=more, device="cpu"
        )

    assert compared(own).crossed and set(seen) == {len(table) - 2}
    assert compared(own.assign(group=[f"p{i // 2}" for i in range(28)])).crossed
    assert not compared(own.assign(group=[f"p{(i + 1) // 2}" for i in range(28)])).crossed
