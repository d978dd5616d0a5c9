# ---
# jupyter:
#   hw3lib:
#     thumbnail: leaderboard
#     files:
#       - metrics.json
#       - attempts.csv
#       - leaderboard.csv
#       - hypotheses.csv
#       - symmetries.csv
#       - per_class.csv
#       - calibration.csv
#       - pointing.csv
#       - figures/curves.png
#       - figures/regions.png
#       - figures/leaderboard.png
#       - figures/confusions.png
#       - figures/per_class.png
#       - figures/reliability.png
#       - figures/mistakes.png
#       - figures/grad_cams.png
#       - figures/pointing.png
#   jupytext:
#     notebook_metadata_filter: hw3lib
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. Attempts to improve a classifier
#
# *About three minutes in the quick profile on two cores.*
#
# Assignment question 2: implement four attempts to improve a model trained on the product; at least one modifies a
# pretrained torchvision model. Say what came out, which is best, why, and with which hyperparameters.
#
# After this notebook you can
#
# - **write** an attempt as a value and change one thing at a time;
# - **exchange** the last layer of a pretrained network and train it in seconds;
# - **compare** attempts over repeated splits and say whether a difference is statistically significant;
# - **test** another's finding as a hypothesis, and accept that it may not hold;
# - **explain** decisions: what is confused, how sure it is, and where the network looked.

# %% tags=["parameters"]
category = "synthetic/bottle"  # any category of MVTec AD, a generated one, or a folder of your own
data = None  # folder that holds the category; None looks in HW3_DATA and data/
profile = "quick"  # "quick" or "full"
out = None  # results folder; None is runs/interactive/02
seed = 0
n_splits: int | None = None  # None: 10 in the quick profile, 30 in the full one
n_sets = 12  # independent sets of a generated category
set_size = 4  # images of each class in one of them
test_share = 0.2  # share of the images that test in each split
arch = "tf_efficientnet_lite0"  # pretrained network: a Lite one, or any torchvision name

# %% tags=["setup"]
from hw3lib.core import machine

machine.prepare()  # as `hw3 run` does, before PyTorch is loaded: on a busy machine its threads wait without spinning

from dataclasses import asdict, replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch import nn

from hw3lib import RunFolder
from hw3lib.classify import Attempt, explain_attempt, guided, leaderboard, pointing_game, run_attempt
from hw3lib.core import Interval, corrected_interval, holm, say
from hw3lib.course import checks, outcome, predict
from hw3lib.data import ImageStack, class_counts, classification_images, get, load_masks, load_table, redraw, splittable
from hw3lib.networks import backbones, pick_device
from hw3lib.views import plots, tables, widgets

plt.rcParams["figure.dpi"] = 72

# %% [markdown]
# ## The images and the splits
#
# `train/` holds good products only, so a classifier of defect types learns from the images below `test/`, split again.
# One split of so few images is a lottery: with 18 test images one image is worth more than five points. So every
# attempt runs on the same several splits, stratified by class. A class too small to stand on both sides is left out.
# More splits of one set are not more images: what differs among all products that might have been photographed stays
# unknown, which is why the intervals below are wide.

# %% tags=["setup"]
# NBVAL_CHECK_OUTPUT
root = get(category, data, profile=profile, progress=False)
table = load_table(root, category)
run = RunFolder("02", table, profile, out, seeds={"splits": seed, "training": seed}, device=pick_device().type)
images = classification_images(table, random_state=seed)
n_splits = n_splits or {"quick": 10, "full": 30}[profile]
run.announce(n_splits=n_splits, test_size=test_share, random_state=seed)  # what is left out, for want of which images
images, splits, _ = splittable(images, n_splits, test_share, random_state=seed)
smallest = min(images["defect"].iloc[train].value_counts().min() for train, _ in splits)
print(class_counts(images)["total"].to_dict())
say(f"{n_splits} splits: {len(splits[0][0])} images to train on, {len(splits[0][1])} to test on")

# %% [markdown]
# ## An attempt is a value
#
# What a row of a student's table says, and nothing else. Each attempt below changes as little as possible, so that its
# gain has one cause.
#
# | | what changes | the idea behind it |
# |---|---|---|
# | baseline | a simple CNN from scratch, 64-pixel images, half of the training images | where everybody begins |
# | attempt 1 | all training images | more data |
# | attempt 2 | a pretrained torchvision network, its last layer exchanged; larger images | transfer learning |
# | attempt 3 | its head also reads earlier feature maps, by mean and maximum | small defects are local |
# | attempt 4 | attempt 2, then its last stages learn too, ten times slower | two-stage fine-tuning |
#
# **Predict first.** By how many points will the best of the five beat the baseline?

# %%
predict("points by which the best of the five beats the baseline", (..., ...), ...)

# %%
classes = list(class_counts(images).index)
few = int(min(8, smallest // 2 + 1))  # images a class; the reports began with 8
cnn_batch = min(16, few * len(classes))  # no batch is larger than a small folder of your own
batch_size = min(32, *(len(train) for train, _ in splits))
more_data = Attempt("1 more data", arch="simple_cnn", image_size=64, epochs=30, batch_size=cnn_batch)
baseline = replace(more_data, name="baseline", images_per_class=few)
transfer = Attempt("2 transfer", arch=arch, strategy="transfer", image_size=224, epochs=30, batch_size=batch_size)
multi_scale = replace(transfer, name="3 multi-scale head", head="multi-scale")
two_stage = replace(
    transfer, name="4 two-stage", strategy="two-stage", fine_tune_epochs=4, fine_tune_lr=1e-4, fine_tune_stages=3
)
attempts = [baseline, more_data, transfer, multi_scale, two_stage]
transfer.differences(baseline)

# %% [markdown]
# ## Transfer learning by hand
#
# This is all there is to it. The network is torchvision's `EfficientNet` class with ImageNet weights. Its last layer is
# taken off, so that it gives a *feature* of each image. It is frozen, so each image passes through it once. Then one
# linear layer learns.

# %%
stack = ImageStack.load(images, 224)  # uint8 (N, 3, 224, 224): decoded once, for every epoch and every split
network = backbones.load(arch)
weights = "ImageNet weights" if network.pretrained else "random weights"
say(f"{arch}: torchvision's {type(network.network).__name__}, {network.num_features} features, {weights}")
with torch.no_grad():
    features = torch.cat([network.embed(batch) for batch in torch.from_numpy(stack.images).split(32)])

labels = torch.tensor([classes.index(d) for d in images["defect"]])
train_rows, test_rows = (torch.from_numpy(rows) for rows in splits[0])
torch.manual_seed(seed)
head = nn.Sequential(nn.BatchNorm1d(features.shape[1], affine=False), nn.Linear(features.shape[1], len(classes)))
optimiser = torch.optim.Adam(head.parameters(), lr=1e-3)
for _ in range(30):
    loss = nn.functional.cross_entropy(head(features[train_rows]), labels[train_rows])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
head.eval()
correct = (head(features[test_rows]).argmax(1) == labels[test_rows]).float().mean().item()
say(f"first split: {correct:.0%} of {len(test_rows)} test images correct")

# %% [markdown]
# ## Run them all
#
# Each finished split is kept in the results folder: interrupt this cell and run it again, and it goes on where it was.

# %%
keep = run.folder / "splits"
live = [] if widgets.headless() else [widgets.AttemptExplorer()]  # draws the curves while the networks learn
for explorer in live:
    explorer.show()
results = [run_attempt(a, images, splits, keep=keep, seed=seed, callbacks=live) for a in attempts]
columns = ["attempt", "accuracy", "ci_low", "ci_high", "gain", "gain_low", "gain_high", "verdict", "needed"]
tables.shown(leaderboard(results, "baseline")[columns])

# %%
outcome("points by which the best of the five beats the baseline", 100 * leaderboard(results, "baseline")["gain"].max())

# %% [markdown]
# ## What a confidence interval is
#
# The accuracies of an attempt come from overlapping images, so they agree more than independent experiments
# would, and the textbook interval is too narrow. Nadeau and Bengio's correction widens the variance by the ratio of
# test to training images. By hand, for the last attempt:

# %%
accuracies = results[-1].accuracies
n_train, n_test = len(splits[0][0]), len(splits[0][1])
variance = accuracies.var(ddof=1) * (1 / len(accuracies) + n_test / n_train)
naive = accuracies.var(ddof=1) / len(accuracies)
say(f"one split at a time: {np.sort(accuracies).round(2)}")
say(f"mean {accuracies.mean():.3f}, standard error {variance**0.5:.3f} (uncorrected {naive**0.5:.3f})")
say("as a figure without limits:", corrected_interval(accuracies, n_train, n_test).text())
say("as a share of images:      ", results[-1].interval().text())

# %% [markdown]
# Near 0 and 1 that interval would reach beyond them, or have no width at all where all splits agree. The second line
# knows that it is a share, of so many images: it is Wilson's interval for as many independent ones as have this
# variance. The table has this one.
#
# Two intervals that overlap do not mean that two attempts are equal: both met the same easy and hard splits. The
# *paired* difference on the same splits takes that out. By itself it is *statistically significant* where its interval
# leaves out zero, which one in twenty does by chance. Where several are compared the verdicts allow for their number
# (Holm's method): the chance that any of them is wrong is then at most one in twenty.
#
# `needed` says how many images it would take, in the place of those above, to find a gain of 5 points in four of five
# such comparisons: the error falls with the root of their number.

# %%
# NBVAL_CHECK_OUTPUT
by_name = {r.attempt.name: r for r in results}
gain = by_name["2 transfer"].gain(by_name["baseline"])
say("attempt 2, transfer, is significantly better than the baseline:", gain.sign > 0)

# %% [markdown]
# ## Training curves
#
# One line a split. A training loss near zero with a poor test accuracy: the network has learnt its images by heart.

# %%
run.figure(plots.classify.curves(results), "curves")
# %%
widgets.in_person(widgets.explore_attempts, results)

# %% [markdown]
# **Why** the curves differ: what is pretrained has only a linear layer to learn, so its loss falls within a few epochs;
# a network from scratch must find edges first, and with so few images it can bring its loss down without finding them.

# %% [markdown]
# ## Each report's finding as a hypothesis
#
# Four students' reports, on carpet, wood, bottle and capsule, named what helped them. Each measured one split, so each
# finding is a hypothesis here: two attempts that differ in it, on the same images. It *held* where the paired
# difference is significantly above zero, it is *refuted* where it is significantly below. Else the difference is *not
# significant*, which is no proof that a factor does nothing: the images may be too few to see it. That takes a test of
# its own: the two attempts are *equivalent* where their difference is significantly smaller than 5 points either way
# (two one-sided tests; [Schuirmann 1987](https://doi.org/10.1007/BF01068419)).
#
# Real photographs are what they are, and the splits above have to do. Images of a generated category can be painted
# anew. There each attempt learns from several small sets that share no image, and each set tests what the others
# taught: nothing repeats, and every image tests many models. What is left of chance is found by leaving out one set at
# a time (the jackknife). A category that was changed by hand is treated as a real one.
#
# The networks are small ones, so that this takes a minute: Lite0, 1 and 2 grow in depth, width and cost, and the rival
# of the pretrained network is the simple CNN, at the same 64 pixels. `hw3 reproduce carpet` (or another report) runs
# the rows of a report as they were.
#
# **Predict first.** How many of the seven will hold?

# %%
predict("findings of the seven that hold", (..., ...), ...)

# %%
drawn, sets = redraw(table, n_splits, test_share, seed, n_sets=n_sets, per_class=set_size, keep=keep)
least = min(drawn["defect"].iloc[train].value_counts().min() for train, _ in sets)
half, batch = int(min(8, least // 2 + 1)), min(batch_size, len(sets[0][0]))
more = replace(more_data, batch_size=min(cnn_batch, half * len(classes)))
fewer = replace(more, name="CNN, about half of the images", images_per_class=half)
large, stages = (replace(attempt, batch_size=batch) for attempt in (transfer, two_stage))
lite = [replace(large, name=f"Lite{n}, frozen", arch=f"tf_efficientnet_lite{n}") for n in range(3)]
small = replace(large, name=f"{transfer.name}, 64 px", image_size=64)
slow = replace(more, name="CNN, rate 0.001, 60 epochs", epochs=60)
fast = replace(more, name="CNN, rate 0.005, 30 epochs", lr=5e-3)
findings = [  # the finding, whose it is, the attempt that should be better and the one that should be worse
    ("more data helps", "carpet", more, fewer),
    ("a deeper network helps", "carpet, wood", lite[1], lite[0]),
    ("a still deeper one is worse", "carpet", lite[1], lite[2]),
    ("pretraining helps", "wood, bottle", small, more),
    ("a second stage helps", "wood", stages, large),
    ("a lower rate and more epochs help", "bottle", slow, fast),
    ("higher resolution helps", "capsule", large, small),
]

# %%
compared = dict.fromkeys(attempt for *_, better, worse in findings for attempt in (better, worse))
measured = {a: run_attempt(a, drawn, sets, keep=keep, seed=seed) for a in compared}
design = measured[large].design

# %%
gains = holm(measured[better].gain(measured[worse]) for *_, better, worse in findings)
hypotheses = pd.DataFrame(
    {"finding": finding, "report": report, "better": better.name, "worse": worse.name}
    | gain.columns("difference", "")
    | {"verdict": gain.verdict("held", "refuted", "equivalent"), "needed": design.images_needed(gain, len(findings))}
    for (finding, report, better, worse), gain in zip(findings, gains, strict=True)
)
say(f"On {design}. {design.power(hypotheses['needed'])}")
tables.shown(run.table(hypotheses, "hypotheses"))

# %%
outcome("findings of the seven that hold", (hypotheses["verdict"] == "held").sum())

# %% [markdown]
# Seven tests at 95 % each: if none of the factors mattered, in about three of ten such tables some interval would leave
# out zero, by chance alone. The verdicts and `p` are Holm's, for all seven together, and those of equivalence likewise;
# the intervals are each by itself.
#
# ## Attempt 5, beyond the reports: look again where it is unusual
#
# The reports shrink every image to between 32 and 512 pixels. A defect on 1 % of the image is then 3 to 51 pixels wide.
# But `train/` holds good products that no attempt has used yet, and they say what usual looks like. So: find the most
# unusual region without masks and without labels, look there again, enlarged, and classify by what is unusual in the
# image and by that region.
#
# - The patch features of good images, a memory of what is usual: PatchCore, Roth et al. 2022,
#   [arXiv 2106.08265](https://arxiv.org/abs/2106.08265).
# - What a patch has that the nearest good patch has not, as a feature: Liu et al.,
#   [arXiv 2406.05645](https://arxiv.org/abs/2406.05645).
# - Several views of the region, put together: MVREC, [arXiv 2412.16897](https://arxiv.org/abs/2412.16897).
#
# The core by hand: cut the feature maps into patches, and measure how far each is from the nearest patch of any good
# image. The farthest patch says where to look.

# %%
stage = [name for name, (_, stride) in network.stages().items() if stride <= 16][-1]


def patches(rows):
    """Feature vectors of all patches, (images, patches, channels)."""
    with torch.no_grad():
        batches = torch.from_numpy(ImageStack.load(rows, 224).images).split(32)
        maps = torch.cat([network.feature_maps(batch, [stage])[stage] for batch in batches])
    return maps.flatten(2).transpose(1, 2)


usual = table[~table["is_defect"]].head(40)
if len(usual):
    memory = patches(usual).flatten(0, 1)
    defective = images[images["is_defect"]]
    distances = torch.stack([torch.cdist(image, memory).amin(1) for image in patches(defective)])
    side = round(distances.shape[1] ** 0.5)
    unusual = nn.functional.interpolate(distances.view(-1, 1, side, side), size=224, mode="bilinear")[:, 0].numpy()
    found = pointing_game(unusual, load_masks(defective, 224), np.ones(len(defective), bool)).loc[0]
    hits, of = found["hits"], found["images"]
    say(f"the patch farthest from {len(memory)} good ones is on the defect in {hits} of {of} images")
else:
    say("this category has no good image")

# %% [markdown]
# `guided` does the same with a larger network and finer patches, and averages what it sees over the symmetries of the
# product. Which these are is not assumed but tested: a symmetry is accepted if it moves the median anomaly of good
# images by less than half the way to that of defective ones. (The table tests all defective images; each split below
# makes its own test with those it trains on.)
#
# The anomaly of an image is the distance of its farthest patch from the nearest good one, as above; its unit is one
# standard deviation of a feature among good patches. `good`, `moved` and `defect` are medians of it: over good images
# that the memory does not hold, over the same ones moved, and over defective ones.

# %%
good = guided.good_images(table, images)
method = guided.DefectGuided("5 defect-guided", image_size={"quick": 256, "full": 448}[profile])
enough = len(good) >= 6 and smallest >= 2  # a small folder of your own may have too few images for this attempt
features = guided.extract_features(method, images, good, keep=keep, seed=seed) if enough else None
symmetries = (
    features.symmetries if enough else pd.DataFrame(columns=["symmetry", "good", "moved", "defect", "accepted"])
)
tables.shown(run.table(symmetries, "symmetries"))

# %%
run.figure(
    plots.explain.regions(features, images) if enough else plots.nothing("too few images to look twice"), "regions"
)
# %% [markdown]
# The region, a third of the side, is cut out of the file as it is, not of the shrunken image. **Why** all maps share
# one colour scale: where a good image is as bright as a defective one, the anomaly alone does not separate them.
#
# **Predict first.** Does the second look pay? Its rival has the same network, image size and symmetries, but reads the
# whole image alone. Nothing else differs: both classify by logistic regression. Attempt 5 as `hw3` uses it, with
# support vector machines, is beside them. All choose their penalty by cross-validation within the training images.

# %%
verdicts = ["significantly better", "not significant", "significantly worse"]
predict("a second look, against the whole image", ..., ..., among=verdicts)


# %%
def points(gain):
    return f"{gain.points()}, paired, {gain.verdict()}"


look = replace(method, name="5 with logistic regression", classifier="logistic")
whole = replace(look, name="whole image, equal budget", parts=guided.WHOLE)
all_three = (whole, look, method) if enough else ()
looks = [guided.run_guided(m, images, good, splits, keep=keep, seed=seed) for m in all_three]
results += looks
second_look = points(looks[1].gain(looks[0])) if looks else "not measured, for want of images"
say(f"A second look, against the whole image: {second_look}.")
outcome("a second look, against the whole image", looks[1].gain(looks[0]).verdict() if looks else None)

# %% [markdown]
# ## The leaderboard

# %%
board = leaderboard(results, "baseline")
tables.shown(run.table(board, "leaderboard")[[*columns, "balanced_accuracy"]])

# %%
run.figure(plots.classify.leaderboard(board, "baseline"), "leaderboard")

# %% [markdown]
# **Why** the bars are long: they say what other splits of as few images would give. One test image is worth the same
# number of points to every attempt, and no training makes the test larger.

# %% [markdown]
# ## Which classes are confused?
#
# Rows are the truth. All test images of all splits are counted, so an image appears as often as it was tested.

# %%
run.figure(plots.classify.confusions(results), "confusions")
# %% [markdown]
# **Why** some pairs: two types are confused where the network's input shows them alike, because they are small, or of
# one colour and differ in shape only. If the good class takes most of the errors, the defect was too small to be seen.
#
# *Precision* is the share of the images called a class that are of it, *recall* the share of a class that was found,
# *F1* their harmonic mean; the balanced accuracy above is the mean recall of a split, so that a rare class counts as
# much as a common one. Of the best attempt:

# %%
best = next(r for r in results if r.attempt.name == board.loc[0, "attempt"])
per_class = run.table(best.per_class(), "per_class")
run.figure(plots.classify.per_class(per_class), "per_class")
# %% [markdown]
# **Why** precision and recall part: a class that takes the images of others has recall and lacks precision; one that
# loses its images to them has it the other way round. Both have few test images: look at the confusions beside it.
#
# Can its confidence be believed? Of the decisions made with 80 % confidence 80 % should be right.

# %%
calibration = best.calibration()
run.table(calibration.table, "calibration")
run.figure(plots.classify.reliability(calibration.table), "reliability")
# %% [markdown]
# **Why** confidence and accuracy part: a loss that is nearly zero on the training images can only fall further by
# larger logits, so training long makes a network surer, not better: its points lie below the diagonal. Above it a
# classifier is right more often than it says, as where probabilities are learned from few images (Platt's method, in
# the vector machines of attempt 5) and kept from the extremes.
#
# And the pictures behind its most confident mistakes: how sure it was is a mean over the splits in which it decided so,
# and beside it stands in how many of those that tested the image it was wrong. Is the label right? With a person in
# front, each can be given another one; the choices are kept in `relabelled.json`, and
# `hw3lib.views.widgets.choices.apply` gives the table with them.

# %%
run.figure(widgets.mistakes(best, images), "mistakes")
# %%
widgets.in_person(widgets.browse_mistakes, results, images)
widgets.in_person(widgets.relabel, best, images, run.folder / "relabelled.json")

# %% [markdown]
# **Why** look at the surest ones: a mistake at 51 % says that two classes are alike, one at 99 % that the network has
# seen something. It is a wrong label, a second defect, or something that has nothing to do with the defect.

# %% [markdown]
# ## Why it decides
#
# Grad-CAM weighs the feature maps by how much the score of the predicted class rises with them, and so shows where the
# evidence lay (Selvaraju et al. 2017, [arXiv 1610.02391](https://arxiv.org/abs/1610.02391)). Here it explains attempt
# 2, trained again on the folds of a cross-validation: every image is explained once, by a network that has not seen it.
# The defect is outlined, the cross marks the peak.
#
# **Predict first.** How often does a *correct* decision have its peak on the defect?

# %%
predict("per cent of correct decisions with their peak on the defect", (..., ...), ...)

# %%
from hw3lib.data import products, stratified_folds

folds = stratified_folds(images["defect"].to_numpy(), products(images), random_state=seed)
explained = replace(transfer, batch_size=min(batch_size, *(len(train) for train, _ in folds)))
explanation = explain_attempt(explained, images, folds, seed=seed)
run.figure(plots.explain.grad_cams(explanation, images), "grad_cams")
# %%
widgets.in_person(widgets.browse_grad_cams, [explanation], images)

# %% [markdown]
# **Why** the maps are coarse: they have as many cells as the stage that is explained, enlarged to the image. A peak in
# the cell beside a small defect is not yet a wrong reason.

# %% [markdown]
# The *pointing game* counts. Two players who do not look stand beside it: a random pixel, and the centre of the image.
# A correct decision with its peak elsewhere may be right for a wrong reason, or the map is too coarse for the defect.

# %%
pointing = run.table(explanation.pointing(), "pointing")
tables.shown(pointing)

# %%
outcome("per cent of correct decisions with their peak on the defect", 100 * pointing.loc[0, "share"])

# %%
run.figure(plots.explain.pointing(pointing), "pointing")
# %% [markdown]
# **Why** the two players: a large defect is hit by chance, and products lie in the middle. Only what exceeds both is
# the network's own.
#
# ## What came out
#
# Written from the numbers above, whatever they are.


# %%
def percent(share):
    return f"{100 * share:.1f} %"


row, how = board.loc[0], best.attempt
outcomes = "; ".join(
    f"{what}: {', '.join(hypotheses.loc[hypotheses['verdict'] == what, 'finding']) or 'none'}"
    for what in ("held", "refuted", "equivalent", "not significant")
)
text = [
    f"On {category} ({len(images)} images, {len(classes)} classes) the best of {len(board)} attempts is "
    f"'{how.name}': {best.interval().percent(1)} correct ({n_splits} splits into {best.n_train} training and "
    f"{best.n_test} test images; 95 % intervals).",
    f"Against the baseline, among all attempts: {points(Interval.read(row, 'gain', kind='difference'))}."
    if how is not baseline
    else "No attempt exceeds the baseline in the mean, so none of the changes pays here.",
    f"Hyperparameters: {how.hyperparameters()}.",
    f"Of the factors named by the reports, tested in pairs and all together ({design}), {outcomes}.",
    f"A second look at the most unusual region, against the whole image: {second_look}.",
]

# %%
hardest = per_class.loc[per_class["f1"].idxmin()]
text.append(
    f"The best attempt's hardest class is {hardest['class']} (F1 {percent(hardest['f1'])}); its expected calibration "
    f"error is {percent(calibration.ece)}."
)
game = pointing.loc[0]
if game["images"]:
    text.append(
        f"Of attempt 2's correct decisions on defects {percent(game['share'])} point at the defect, a random pixel "
        f"would in {percent(game['random'])}."
    )
power = results[0].design.power(board["needed"])
text.append(power)
for sentence in text:
    say(sentence, width=100)

# %%
run.table(pd.DataFrame([asdict(a) for a in dict.fromkeys([*measured, *(r.attempt for r in results)])]), "attempts")
run.metrics(
    leaderboard=board,
    best=how.name,
    baseline="baseline",
    n_train=best.n_train,
    n_test=best.n_test,
    confusion={r.attempt.name: r.confusion() for r in results},
    hypotheses=hypotheses,
    design=str(design),
    power=power,
    per_class=per_class,
    ece=calibration.ece,
    second_look=looks[1].gain(looks[0]).columns("gain") if looks else None,
    pointing=pointing,
    summary=" ".join(text),
)

# %% [markdown]
# ## Checkpoint
#
# - Attempt 1 has about twice the training images. Is its gain significant here? What would you need to be surer?
# - Attempt 3 adds features but no data. When must that hurt?
# - Which verdict in the table of findings would you bet on with another product, and which not?
# - A correct decision whose peak lies beside the defect: name a harmless reason and a worrying one.
# - Why may the test images of a split not decide how many epochs to train?
#
# ## Exercises
#
# Each has a check that answers at once. They are in `exercises/ex02_improvement_attempts.ipynb` to be solved; here the
# answers are folded away.

# %% [markdown] tags=["exercise"]
# ### Exercise 1 (level 1). Fill in: Wilson's interval
#
# A report says 7 of 8 test images were right: $p = 7/8$ is the share of the $n = 8$ images. The interval that every
# student learns first, $p \pm z \sqrt{p(1-p)/n}$, has no width where all are right. Wilson's has. It goes from
# $c - h$ to $c + h$; $z = 1.96$ leaves out 2.5 % on either side.
#
# $$c = \frac{p + z^2/(2n)}{1 + z^2/n} \qquad h = \frac{z}{1 + z^2/n} \sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}$$


# %% tags=["exercise", "answer-1"]
def my_wilson(correct, n):
    """Low and high end of the 95 % interval, as shares."""
    # BEGIN SOLUTION
    # HINT: Where should the centre lie if all of 8 are right: at 1, or below it?
    # HINT: Compute the centre c and the half-width h by themselves, with p = correct / n.
    # HINT: Everything under the root is divided: p * (1 - p) / n + z**2 / (4 * n**2). Return c - h, c + h.
    z, p = 1.96, correct / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return centre - half, centre + half
    # END SOLUTION


# %% tags=["exercise", "check-1"]
# NBVAL_CHECK_OUTPUT
checks.wilson(my_wilson)

# %% [markdown] tags=["exercise"]
# ### Exercise 2 (level 1). Fill in: exchange the head
#
# `model` is a torchvision MobileNetV3; its last layer is `model.classifier[-1]`, a `nn.Linear`. Put another one in its
# place that has `num_classes` outputs. It learns, and nothing else does.


# %% tags=["exercise", "answer-2"]
def my_head(model, num_classes):
    """The network, with a new last layer that alone learns."""
    # BEGIN SOLUTION
    # HINT: A parameter learns as long as its requires_grad is true. Which ones does a new layer bring?
    # HINT: Freeze all parameters of the model first; a layer that is made afterwards learns by itself.
    # HINT: model.classifier[-1] = nn.Linear(model.classifier[-1].in_features, num_classes)
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.classifier[-1] = nn.Linear(model.classifier[-1].in_features, num_classes)
    return model
    # END SOLUTION


# %% tags=["exercise", "check-2"]
# NBVAL_CHECK_OUTPUT
checks.exchange_head(my_head)

# %% [markdown] tags=["exercise"]
# ### Exercise 3 (level 2). Plot the validation loss, choose an epoch
#
# ```python
# def best_epoch(history):
#     return history.loc[history["test_accuracy"].idxmax(), "epoch"]
# ```
#
# `history` is a table with the columns `epoch` (from 1), `train_loss`, `val_loss` and `test_accuracy`. The *validation
# loss* is the loss on some of the training images that were held out: the network neither learns from them nor is
# judged by them. Whoever reports the accuracy of the epoch above reports too much. Why?
#
# Draw what one may choose by: both losses over the epoch, with `axes.plot`, both axes and both lines labelled. Choose
# the epoch, mark it by a vertical line (`axes.axvline`), and return it. The same picture says whether the network
# learns its images by heart: the training loss falls on, the validation loss rises again.

# %% tags=["exercise"]
history = pd.DataFrame(
    {
        "epoch": [1, 2, 3, 4, 5, 6],
        "train_loss": [1.51, 0.82, 0.44, 0.21, 0.12, 0.06],
        "val_loss": [1.40, 0.93, 0.81, 0.84, 0.97, 1.13],
        "test_accuracy": [0.44, 0.67, 0.67, 0.72, 0.78, 0.72],
    }
)


# %% tags=["exercise", "answer-3"]
def best_epoch(history, axes):
    """Number of the epoch whose weights are kept; the losses are drawn on the axes."""
    # BEGIN SOLUTION
    # HINT: What is the test accuracy to say, and can it still say it once it has chosen?
    # HINT: Plot two columns over a third; choose by the images that were neither trained nor tested on.
    # HINT: history["val_loss"].idxmin() is a row; the epoch stands in its column epoch. axes.legend() at the end.
    epoch = history.loc[history["val_loss"].idxmin(), "epoch"]
    axes.plot(history["epoch"], history["train_loss"], label="training")
    axes.plot(history["epoch"], history["val_loss"], label="validation")
    axes.axvline(epoch, color="grey", linestyle=":")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend()
    return epoch
    # END SOLUTION


# %% tags=["exercise", "check-3"]
checks.choose_epoch(best_epoch)
best_epoch(history, plt.subplots(figsize=(5, 3))[1])

# %% [markdown] tags=["exercise"]
# ### Exercise 4 (level 3). Beat the leaderboard
#
# The features of a pretrained network, one vector an image, most of them between 0 and 1, and behind them a thumbnail
# of 8 by 8 pixels, from 0 to 255. The nearest class mean is a classifier already. Write a better one:
# `f(X_train, y_train, X_test)` gives the predicted labels. You have the images of this chapter to train on and to try
# it. The check paints other bottles for each answer (so it takes some seconds), shows how many of them the baseline,
# the best known classifier and yours have right, and passes where yours is *significantly* better than the baseline on
# the same images.

# %% tags=["exercise"]
# The exercise is on the generated bottle, whatever your category is.
home = data if category.startswith("synthetic/") else None
course = load_table(get("synthetic/bottle", home, progress=False), "synthetic/bottle")
course = classification_images(course, random_state=0)
stack = ImageStack.load(course, 224)
with torch.no_grad():
    features = backbones.load("tf_efficientnet_lite0").embed(torch.from_numpy(stack.images)).numpy()
thumbnails = stack.images.reshape(len(course), 3, 8, 28, 8, 28).mean((3, 5))
features = np.hstack([features, thumbnails.reshape(len(course), -1)])
labels = course["defect"].to_numpy()
print(f"{features.shape[0]} images, {features.shape[1]} features")


# %% tags=["exercise", "answer-4"]
def my_classifier(X_train, y_train, X_test):
    """Labels of the test images."""
    # BEGIN SOLUTION
    # HINT: By how much do two images differ in a feature of the network, and by how much in a pixel? What then decides?
    # HINT: Bring all features to one unit, by what X_train says alone, and let a linear classifier learn their weights.
    # HINT: make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000)) has fit and predict.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    return model.fit(X_train, y_train).predict(X_test)
    # END SOLUTION


# %% tags=["exercise", "check-4"]
checks.beats_nearest_mean(my_classifier, features, labels)

# %% [markdown] tags=["exercise"]
# ### Exercise 5 (level 3). Find the leak in a pipeline
#
# A colleague has 150 features of each image and says that 20 of them are enough:
#
# ```python
# def classify(X, y, train, test):
#     X = (X - X.mean(axis=0)) / X.std(axis=0)
#     names = np.unique(y)
#     means = [X[y == name].mean(axis=0) for name in names]
#     best = np.argsort(-np.abs(means[0] - means[1]))[:20]  # the features in which the two classes differ most
#     model = LogisticRegression().fit(X[train][:, best], y[train])
#     return model.predict(X[test][:, best])
# ```
#
# `train` and `test` are rows. On features that are pure noise it is right in about three of four test images. It fits
# on training rows and predicts test rows, so where is the leak? There are two. Write it without.


# %% tags=["exercise", "answer-5"]
def classify(X, y, train, test):
    """Predicted labels of the test rows."""
    # BEGIN SOLUTION
    # HINT: Which lines read y, and of which rows? Which lines look at X of test rows before the last one?
    # HINT: Everything that is learned, a mean, a spread, a choice of features, is learned from X[train] and y[train].
    # HINT: scikit-learn's make_pipeline(StandardScaler(), SelectKBest(k=20), ...) learns all of its steps in fit().
    from sklearn.feature_selection import SelectKBest
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps = make_pipeline(StandardScaler(), SelectKBest(k=20), LogisticRegression())
    return steps.fit(X[train], y[train]).predict(X[test])
    # END SOLUTION


# %% tags=["exercise", "check-5"]
# NBVAL_CHECK_OUTPUT
checks.leak_free(classify)

# %% [markdown] tags=["exercise"]
# ### Exercise 6 (level 2). Right for the wrong reason
#
# A classifier names 19 of 20 contaminated bottles. On six of them its Grad-CAM peaks at the contamination. On the other
# thirteen it peaks at the lower right, on a paper label with the day of the photograph; good bottles have no label in
# view, since they were photographed on another day.
#
# 1. Write what finds such images in any set: right decisions on defective images whose peak (the highest value of the
#    map) lies outside the mask.
# 2. Write to the colleague who trained it, in 60 to 300 words.
#
# **Rubric**, a point each; your teacher gives them, no program can:
#
# - what the network has learned, and how that is known;
# - why the test accuracy does not show it;
# - an experiment that would decide it, and which outcome would say what;
# - what to change before the next training;
# - what a harmless reason for a peak beside a defect would be.


# %% tags=["exercise", "answer-6"]
# BEGIN SOLUTION: explanation
explanation = (
    "Your network is right about the contaminated bottles, but in thirteen of nineteen its map peaks at the paper "
    "label. All contaminated bottles, and only they, were photographed with the label in view, so it tells the class "
    "in the training images and in the test images alike: the test accuracy cannot show it. Cover the label in the "
    "test images, or paste it into good ones. If the decisions follow the label, it was the reason; if not, the "
    "map was coarse and merely beside the defect, which is harmless. Before the next training photograph both classes "
    "on the same days, or cut the corner away."
)
# END SOLUTION


def wrong_reason(maps, masks, said, truth):
    """Positions of the images; ``maps`` and ``masks`` are (n, height, width), ``said`` and ``truth`` names."""
    # BEGIN SOLUTION
    # HINT: Three things are to be true of such an image. Which of them is about the map?
    # HINT: The position of the highest value of a map is argmax(); good images have no mask to be beside.
    # HINT: masks[k].ravel()[maps[k].argmax()] says whether the peak of image k is on its defect.
    on_defect = np.array([mask.ravel()[one.argmax()] for one, mask in zip(maps, masks, strict=True)])
    return np.flatnonzero((said == truth) & (truth != "good") & ~on_defect)
    # END SOLUTION


# %% tags=["exercise", "check-6"]
# NBVAL_CHECK_OUTPUT
checks.wrong_reason(explanation, wrong_reason)

# %% [markdown]
# **More to try.** Run attempt 2 at 128 and at 320 pixels: which defects come and go in the confusion matrix? Change
# `n_splits` to 30: which findings that were not significant now are?

# %% [markdown]
# ## What to remember
#
# With tens of images a network from scratch learns them by heart. Features learnt on ImageNet carry over; one linear
# layer on them trains in seconds. An accuracy without an interval says little on a test set this small, a comparison is
# made on the same splits, and what helped one student on one product is a hypothesis about the next. Good images need
# no labels, and they say where to look. That a decision is right does not say that it was made for the right reason:
# look where it looked.
#
# **Next:** `03_imbalance_oversampling` asks what to do when the defects are rare.
