# ---
# jupyter:
#   hw3lib:
#     thumbnail: heat_maps
#     files:
#       - metrics.json
#       - detectors.csv
#       - robustness.csv
#       - types.csv
#       - scores.csv
#       - figures/detectors.png
#       - figures/coreset.png
#       - figures/heat_maps.png
#       - figures/thresholds.png
#       - figures/missed.png
#       - figures/most_and_least.png
#       - figures/robustness.png
#       - detector/detector.json
#       - detector/state.safetensors
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
# # 4. Anomaly detection from good images alone
#
# *About two minutes in the quick profile on two cores.*
#
# Assignment question 4: detect defective products with a model that was trained on good ones only. Defects are rare and
# the next one looks like none before; good products are plenty.
#
# After this notebook you can
#
# - **explain** what a detector remembers, and which defects it must miss;
# - **write** the core of PatchCore, the greedy coreset, in ten lines;
# - **measure** a detector by image AUROC, AUPRO, AUPIMO and the F1 that a user gets, with confidence intervals;
# - **set** a threshold from good images alone and say what it promises;
# - **break** a detector that looks perfect, by light and by rotation.

# %% tags=["parameters"]
category = "synthetic/bottle"  # any category of MVTec AD, a generated one, or a folder of your own
data = None  # folder that holds the category; None looks in HW3_DATA and data/
profile = "quick"  # "quick" or "full"
out = None  # results folder; None is runs/interactive/04
seed = 0
image_size = 224
false_alarm_rate = 0.1  # share of good products that may be stopped
held_out = None  # share of the good images that only set the threshold; None: what each detector does by itself

# %% tags=["setup"]
from hw3lib.core import machine, say

machine.prepare()  # as `hw3 run` does, before PyTorch is loaded: on a busy machine its threads wait without spinning

from dataclasses import replace
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from hw3lib import RunFolder, anomaly
from hw3lib.course import checks, outcome, predict
from hw3lib.data import ImageStack, get, load_table, synthetic
from hw3lib.networks import NearestNeighbours, backbones, locally_aware, patch_layers, pick_device
from hw3lib.views import plots, tables, widgets

plt.rcParams["figure.dpi"] = 72

# %% [markdown]
# ## The images
#
# `train/` holds good products only, and that is all that any detector here learns from. `test/` is read once, at the
# end: it chooses no threshold, no epoch and no hyperparameter.

# %% tags=["setup"]
# NBVAL_CHECK_OUTPUT
root = get(category, data, profile=profile, progress=False)
table = load_table(root, category)
run = RunFolder("04", table, profile, out, seeds={"detectors": seed}, device=pick_device().type)
run.announce()  # what is left out, for want of which images
good = table[(table["split"] == "train") & ~table["is_defect"]]
test = table[table["split"] == "test"].reset_index(drop=True)
say(f"{len(good)} good images to learn from")
say(f"{len(test)} to test on: {(~test['is_defect']).sum()} good, {test['is_defect'].sum()} defective")

# %%
good_images = ImageStack.load(good, image_size, tiles=True)  # a detector can do with several squares an image
test_images = ImageStack.load(test, image_size, tiles=True)

# %% [markdown]
# ## What is normal? One vector, or many patches
#
# A pretrained network turns an image into feature maps. Averaged over the image they are one vector: the oldest idea
# is to call an image anomalous if its vector lies far from those of good images. A defect of one per cent of the area
# moves the mean by one per cent of itself.
#
# So later methods keep the *patches*. A patch of a good image is described by three stages of the network: the fine one
# sees scratches, the coarse one knows what is around. PatchCore
# ([Roth et al. 2022](https://arxiv.org/abs/2106.08265)) remembers them all, wherever they lay, and a patch of a new
# image scores the distance to the nearest one remembered.

# %%
# NBVAL_CHECK_OUTPUT
network = backbones.load(anomaly.PatchCore().arch)
layers = patch_layers(network)
with torch.no_grad():
    maps = network.feature_maps(torch.from_numpy(good_images[:4]), layers)
patches = locally_aware(list(maps.values()), grid=1).movedim(1, -1).flatten(0, 2).numpy()
print({name: tuple(m.shape[1:]) for name, m in maps.items()})
say(f"4 images, {len(patches)} patches of {patches.shape[1]} features")

# %% [markdown]
# ## The coreset by hand
#
# Neighbouring patches are much alike, so a tenth of them is enough, if it is the right tenth: a *coreset* leaves no
# patch far from one that is kept. Finding the best one is NP-hard; taking, again and again, the patch that is furthest
# from all taken so far is at most twice as bad
# ([Gonzalez 1985](https://doi.org/10.1016/0304-3975(85)90224-5)).


# %%
# NBVAL_CHECK_OUTPUT
def greedy(vectors, size, start=0):
    picked = [start]
    distance = np.linalg.norm(vectors - vectors[start], axis=1)
    while len(picked) < size:
        furthest = int(distance.argmax())
        picked.append(furthest)
        distance = np.minimum(distance, np.linalg.norm(vectors - vectors[furthest], axis=1))
    return np.array(picked), distance.max()


by_hand, radius = greedy(patches.astype(np.float64), 60)
library = anomaly.k_center_greedy(patches, 60, start=0)
say("the library picks the same patches:", bool((by_hand == library.indices).all()))
say("and leaves none further than ours:", bool(abs(library.radius - radius) < 1e-3 * radius))

# %% [markdown]
# The library's picks are those of the loop above, only faster: distances only shrink, so an old one is an upper bound,
# and by the triangle inequality most patches need not be looked at. **Predict first**: how much further from its
# nearest kept patch is the worst patch, if as many are drawn at random?

# %%
predict("distance of the worst patch, random picks over greedy ones", (..., ...), ...)

# %%
rng = np.random.default_rng(seed)
sizes = np.unique(np.geomspace(10, len(patches) // 4, 8).astype(int))
every = anomaly.k_center_greedy(patches, int(sizes[-1]), start=0)
at_random = []
for size in sizes:
    kept = NearestNeighbours(patches[rng.permutation(len(patches))[:size]])
    at_random.append(float(kept.query(patches)[0].max()))
run.figure(plots.anomaly.coreset(sizes, every.radii[sizes - 1], at_random, len(patches)), "coreset")
outcome("distance of the worst patch, random picks over greedy ones", at_random[-1] / every.radii[sizes[-1] - 1])

# %% [markdown]
# **Why** drawing at random is worse: it takes patches as often as they occur, so most are of what is everywhere, and
# the rare patch of a good product stays without a neighbour. That one would then be called anomalous.

# %% [markdown]
# ## Run them all
#
# Every strategy that the reports name, on the same images: methods of one vector an image, networks that are trained on
# this category, and two that compare patches. **Predict first**: which detector has the highest image AUROC, and which
# type of defect does it find worst?

# %%
steps = {"quick": 0.5, "full": 1.0}[profile]


def trained(kind, **settings):
    detector = kind(**settings)
    return kind(**{**settings, "num_steps": max(1, round(steps * detector.num_steps))})


common = dict(image_size=image_size, seed=seed)
detectors = {
    "one-class SVM": partial(anomaly.OneClassSVM, **common),
    "isolation forest": partial(anomaly.IsolationForest, **common),
    "k-nearest neighbours": partial(anomaly.NearestImages, **common),
    "Mahalanobis": partial(anomaly.Mahalanobis, **common),
    "autoencoder (L2)": partial(trained, anomaly.Autoencoder, loss="l2", **common),
    "autoencoder (SSIM)": partial(trained, anomaly.Autoencoder, loss="ssim", **common),
    "Deep SVDD": partial(trained, anomaly.DeepSVDD, **common),
    "GANomaly": partial(trained, anomaly.GANomaly, **common),
    "CutPaste": partial(trained, anomaly.CutPaste, **common),
    "synthetic defects": partial(trained, anomaly.SyntheticDefects, **common),
    "PaDiM": partial(anomaly.PaDiM, **common),
    "PatchCore": partial(anomaly.PatchCore, **common),
}

# %%
types = [name for name in test["defect"].unique() if name != "good"]
predict("the detector with the highest image AUROC", ..., ..., among=list(detectors))
predict("the type that the first detector finds worst", ..., ..., among=types)

# %%
evaluations = {}
for name, make in detectors.items():
    evaluations[name] = anomaly.evaluate(
        make(), good_images, test, test_images, label=name, held_out=held_out, false_alarm_rate=false_alarm_rate
    )
    say(f"{name}: {evaluations[name].metrics['fit_seconds']:.1f} s to fit")

# %%
board = run.table(anomaly.compare_detectors(list(evaluations.values()), seed), "detectors")
columns = [
    "image_auroc",
    "auroc_low",
    "auroc_high",
    "pixel_auroc",
    "aupro",
    "aupimo",
    "f1",
    "fit_seconds",
    "ms_per_image",
    "memory_bank",
]
tables.shown(board.set_index("detector")[columns])

# %%
outcome("the detector with the highest image AUROC", board.set_index("detector")["image_auroc"])

# %%
run.figure(plots.anomaly.detectors(board), "detectors")

# %% [markdown]
# *Image AUROC*: the probability that a defective image scores above a good one; 0.5 is guessing. *Pixel AUROC*: the
# same for pixels; large defects rule it, and most pixels are easy. *AUPRO*: the share of each defect region that is
# found, every region counting alike, averaged over false-positive rates up to 0.3. At that rate a third of a good image
# is red; *AUPIMO* ([Bertoldo et al. 2024](https://arxiv.org/abs/2401.01984)) asks what is found of each defective image
# while at most one pixel in 10,000 of the good images is. *F1* is that of the threshold below, which is what a user
# gets; the best one on the test images is known afterwards only. The interval is over the test images, and has a width
# for a perfect ranking too; each of these figures has one, in `detectors.csv`. That a detector is better than guessing,
# and that the first leads another, is tested for all of them together (Holm's method); a lead by an exact test that
# counts the images. Twelve detectors were compared on the images that rank them, so the first one's figure is a little
# too good: chance has favoured the best of many. Its interval does not know that. Whoever wants to quote one number
# names the detector first (PatchCore, as here in all that follows), or keeps other test images for the winner.
#
# **Why** a detector of one vector an image can lead: it must miss what is too small to move a mean, and where the
# defects are large there is none. Where several are nearly perfect, their order says little; look at their intervals,
# and at the types below. Why an F1 can be zero beside a high AUROC: the order is right, and the threshold, set on good
# images, lies above all scores. A one-class SVM gives all images far from those it learned about the same score, and
# one good image that far away sets the threshold there.

# %%
# NBVAL_CHECK_OUTPUT
patchcore = evaluations["PatchCore"]
say("PatchCore is significantly better than guessing:", anomaly.beats_guessing(board, "PatchCore"))

# %% [markdown]
# A mean hides. Which type of defect does the best detector find worst, and is it the same one for the others? Each type
# against all good images, with the interval of so few:

# %%
by_type = run.table(anomaly.compare_types(list(evaluations.values()), test["defect"]), "types")
found = by_type.astype({"defect": str}).pivot(index="detector", columns="defect", values="image_auroc")
found.reindex(board["detector"]).round(2)

# %%
of_first = by_type[by_type["detector"] == board.loc[0, "detector"]]
tables.shown(of_first)

# %%
outcome("the type that the first detector finds worst", -of_first.set_index("defect")["image_auroc"])

# %% [markdown]
# ## Where is the defect?
#
# The same colours for all images: dark is what a good image shows in the middle, and beyond half-way lies what only a
# share of good images, the false-alarm rate, shows anywhere.

# %%
threshold = patchcore.detector.map_threshold_
scale = patchcore.detector.scale_
rows = [int(test.index[test["defect"] == name][0]) for name in [*types, "good"] if (test["defect"] == name).any()]
run.figure(plots.anomaly.heat_maps(test, patchcore.maps, scale, threshold, patchcore.scores, rows), "heat_maps")

# %% [markdown]
# **Why** a map is wider than its defect: a patch describes its neighbourhood, too, so the patches beside a defect have
# some of it. Why good images are not all dark: edges and reflections vary most among good products.

# %% [markdown]
# ## A threshold that can be explained
#
# Good images that were not learned from give a score each. If the next good product is like them, its score is equally
# likely to fall into each of the gaps between theirs. So a threshold at the k-th smallest of n scores is exceeded by
# it with probability (n + 1 - k) / (n + 1), whatever the detector (split conformal prediction,
# [Bates et al. 2023](https://arxiv.org/abs/2104.08279)). No defect is needed, and no test image.
#
# But an image that is held out teaches nothing. PatchCore knows whose each patch in its memory is, so it can learn from
# all good images and score each of them without its own patches. Had the new image been remembered too, all n + 1
# scores would be alike; and a memory that grows lets no distance grow, so the threshold errs on the safe side. That
# holds exactly for a memory of all patches, and nearly for a coreset, which is why the sentence says "about".

# %%
say(str(patchcore.detector.thresholds_), width=100)
say(anomaly.describe_alarms(patchcore), width=100)
for rate in (0.1, 0.05, 0.01, 0.001):
    say(f"  {100 * rate:g} % false alarms takes {anomaly.required_good_images(rate)} good images")

# %% [markdown]
# The usual practice is another one: the threshold with the best F1 on the test images. It uses the labels that it is
# then judged by, needs defects, and promises nothing. Here it is for comparison, marked as what it is.

# %%
say(anomaly.describe_best_f1(patchcore), width=100)

# %%
page = plots.anomaly.threshold_page(
    test, patchcore.scores, patchcore.detector.threshold_, patchcore.maps, scale, map_threshold=threshold
)
run.figure(page, "thresholds")
# %%
widgets.in_person(widgets.explore_threshold, patchcore, test)

# %% [markdown]
# **Why** no threshold is right for both: where the scores of good and defective images overlap, fewer false alarms are
# more missed defects. Only costs can weigh them (exercise 4 of chapter 03).
#
# Which defects does this threshold miss? The ones furthest below it come first.

# %%
above = patchcore.scores > patchcore.detector.threshold_
missed = np.flatnonzero(test["is_defect"] & ~above)
say(f"{len(missed)} of {test['is_defect'].sum()} defective test images are not above the threshold")
page = plots.anomaly.missed(test, patchcore.maps, scale, threshold, patchcore.scores, patchcore.detector.threshold_)
run.figure(page, "missed")

# %% [markdown]
# **Why** a defect is missed: where its map is dark, the detector saw nothing unusual in it, and another one, or a
# larger image, may; where the map is bright, some good images are as bright, so the threshold lies above it.

# %% [markdown]
# A p-value says how unusual a score is: the share of good images that score as high, the new one counted among them.
# It cannot be smaller than 1 / (n + 1), however strange the image.

# %%
p_values = patchcore.detector.p_values(patchcore.scores)
order = pd.DataFrame({"image": test["image"], "defect": test["defect"], "score": patchcore.scores, "p_value": p_values})
run.table(order.assign(image=[path.replace("\\", "/").split("/", -1)[-1] for path in order["image"]]), "scores")
run.figure(plots.anomaly.most_and_least(test, patchcore.maps, patchcore.scores, p_values, scale), "most_and_least")

# %% [markdown]
# **Why** the lowest p-values are equal: all scores above every good one get the same, 1 / (n + 1). To tell them apart
# takes more good images, not a better detector.

# %% [markdown]
# ## What each learns, and when it fails
#
# | detector | what it learns of good images | what it must miss |
# |---|---|---|
# | one-class SVM, isolation forest, k nearest | where their mean features lie | a defect too small to move a mean |
# | Mahalanobis | also which directions vary among them | the same, less so |
# | autoencoder | to redraw them from a few numbers | what it redraws too well; texture that it never redraws well |
# | Deep SVDD | a map that brings them close together | what the map has learned to ignore |
# | GANomaly | to redraw them so that a critic is deceived | training is a truce; on few images it is chance |
# | CutPaste | to tell them from cut-and-pasted ones | defects unlike a pasted rectangle |
# | synthetic defects | to find blended patterns on them | defects unlike any pattern painted |
# | PaDiM | mean and spread of the features at each place | nothing if products lie alike; much if they are shifted |
# | PatchCore | nothing: it remembers their patches | good patches in a wrong place or number |
#
# A round product lies alike however it is turned, so PaDiM need not fail by a turn about
# its centre, as it may by a shift.
#
# ## Another light, a small turn
#
# The test images above were taken like the training images. Here are the same ones, a little darker, warmer, moved or
# turned: in the quick profile a dozen good and a dozen defective ones, so that "as photographed" is not the figure of
# the table above, which is over all test images. Nothing is fitted again, and no threshold moves. A detector can suffer
# in two ways: good and defective images are harder to tell apart (AUROC), or all of them score higher, and the
# threshold stops good products. **Predict first**: which change costs PatchCore most AUROC, and which makes it stop
# most good products?

# %%
changes = list(anomaly.CONDITIONS)[1:]
predict("the change that costs PatchCore most AUROC", ..., ..., among=changes)
predict("the change under which PatchCore's threshold stops most good products", ..., ..., among=changes)

# %%
chosen = ["k-nearest neighbours", "PaDiM", "PatchCore"]
most = {"quick": 12, "full": len(test)}[profile]  # good and defective images each
some = np.sort([row for _, rows in test.groupby("is_defect").indices.items() for row in rng.permutation(rows)[:most]])
subset = [evaluations[name] for name in chosen]
changed = run.table(
    anomaly.robustness_table(subset, test_images.part(some), rows=some, asked_rate=false_alarm_rate), "robustness"
)
changed.pivot(index="condition", columns="detector", values="image_auroc").loc[changed["condition"].unique()].round(2)

# %%
tables.shown(changed[["condition", "detector", "images", "image_auroc", "auroc_low", "auroc_high", "false_alarm_rate"]])

# %%
run.figure(plots.anomaly.robustness(changed), "robustness")
under = changed[changed["detector"] == "PatchCore"].set_index("condition").iloc[1:]
outcome("the change that costs PatchCore most AUROC", -under["image_auroc"])
outcome("the change under which PatchCore's threshold stops most good products", under["false_alarm_rate"])

# %% [markdown]
# **Why** detectors suffer from different things: who compares places (PaDiM) needs products to lie alike; who compares
# patches (PatchCore) needs them to look alike, wherever they lie; and a change of the whole image moves its mean vector
# further than a small defect does. **Why** the two figures can disagree: a change that raises all scores alike leaves
# their order, and so the AUROC, as it was; but the threshold has not moved, and good products are stopped. Intervals
# are each by itself: where two overlap widely, so few images do not say which detector bears a change better.
#
# A detector can be told what good products may do. `tolerate` shows it each good image in other light and moved a
# little as well; the threshold is set on these too, as photographs of one product. What does that cost on the test
# images as they were taken, and which condition was it not told of?

# %%
tolerant = replace(patchcore.detector, tolerate=("light", "shift", "rotation"))
told = anomaly.evaluate(
    tolerant, good_images, test, test_images, label="PatchCore, told", false_alarm_rate=false_alarm_rate
)
beside = anomaly.robustness_table([told], test_images.part(some), rows=some, asked_rate=false_alarm_rate)
beside = pd.concat([changed[changed["detector"] == "PatchCore"], beside])
beside.pivot(index="condition", columns="detector", values=["image_auroc", "false_alarm_rate"]).loc[
    changed["condition"].unique()
].round(2)

# %% [markdown]
# A threshold keeps its promise only as long as production looks like the good images that set it. What helps, in this
# order: fix the light and the position; photograph good products under every light that occurs and let them be learned;
# tell the detector what to tolerate, which hides defects that look like it, such as a product that is too dark; watch
# the p-values of production for a drift.
#
# ## What came out
#
# Written from the numbers above, whatever they are.

# %%
text = anomaly.describe_detectors(board, changed, false_alarm_rate)
say(text, width=100)

# %%
patchcore.detector.save(run.folder / "detector")
run.metrics(
    detectors=board,
    best=board.loc[0, "detector"],
    threshold=patchcore.detector.threshold_,
    false_alarm_rate=false_alarm_rate,
    threshold_images=len(evaluations[board.loc[0, "detector"]].detector.good_scores_),
    robustness=changed,
    types=by_type,
    summary=text,
)

# %% [markdown]
# The fitted PatchCore is now a folder of its own. On any photographs, without a notebook:
#
# ```
# hw3 detect score runs/interactive/04/detector FOLDER --out results --overlays
# ```
#
# ## Checkpoint
#
# - Why is 99 % pixel AUROC easy to reach, and what does AUPRO ask besides?
# - Your line stops 10 % of good products at a threshold set for 5 %. Name two harmless reasons and a worrying one.
# - A coreset keeps outliers on purpose. When is that a danger?
# - Which detector would you take for screws that lie in any direction, and which for printed labels?
#
# ## Exercises
#
# Each has a check that answers at once. They are in `exercises/ex04_anomaly_detection.ipynb` to be solved; here the
# answers are folded away.

# %% [markdown] tags=["exercise"]
# ### Exercise 1 (level 2). Fill in: AUPRO of two maps by hand
#
# `maps` are two anomaly maps, (2, height, width), of scores $s_i$, one a pixel $i$. `regions` has their shape; it
# numbers the defect regions $R_1, \dots, R_K$ of both masks from 1, and is 0 where the product is good ($G$). At each
# threshold $t$ two shares are found. Of each region by itself, so that every region counts alike, however small:
#
# $$\mathrm{PRO}(t) = \frac{1}{K} \sum_{k=1}^{K} \frac{|\{i \in R_k : s_i \ge t\}|}{|R_k|}
# \qquad \mathrm{FPR}(t) = \frac{|\{i \in G : s_i \ge t\}|}{|G|}$$
#
# The curve begins at $(0, 0)$, and straight lines lead from point to point ($\mathrm{FPR}$ across, $\mathrm{PRO}$ up),
# from the highest score down. AUPRO is the area below it from 0 to `limit`, where the line is cut, divided by `limit`.
#
# By hand first: one map `[0.9, 0.8, 0.7, 0.2]`, regions `[1, 0, 1, 0]`, limit 0.25. The points are (0, 0), (0, 0.5),
# (0.5, 0.5) and so on: the area is 0.125, AUPRO 0.5.


# %% tags=["exercise", "answer-1"]
def my_aupro(maps, regions, limit):
    """Between 0 and 1."""
    # BEGIN SOLUTION
    # HINT: One region has 900 pixels, the other 10. If you count pixels of both together, what becomes of the second?
    # HINT: For each score t from the highest down compute FPR and PRO, over both maps at once; begin both lists with 0.
    # HINT: np.interp(limit, fpr, pro) is the height at the limit; the area is a sum of widths times mean heights.
    fpr, pro = [0], [0]
    for t in np.unique(maps)[::-1]:
        found = maps >= t
        fpr.append(found[regions == 0].mean())
        pro.append(np.mean([found[regions == k].mean() for k in range(1, regions.max() + 1)]))
    fpr, pro = np.array(fpr), np.array(pro)
    x = np.append(fpr[fpr < limit], limit)
    y = np.append(pro[fpr < limit], np.interp(limit, fpr, pro))
    return (np.diff(x) * (y[1:] + y[:-1]) / 2).sum() / limit
    # END SOLUTION


# %% tags=["exercise", "check-1"]
# NBVAL_CHECK_OUTPUT
checks.aupro(my_aupro)

# %% [markdown] tags=["exercise"]
# ### Exercise 2 (level 2). Fill in: a threshold with a promise
#
# $n$ good images were not learned from; these are their scores. The next good image should exceed the threshold with a
# probability of at most `rate`, and the threshold should be no higher than that takes. The next score is equally likely
# to fall into each of the $n + 1$ gaps between the scores. Which score is the threshold, counted from below? And if $n$
# is too small for the promise?


# %% tags=["exercise", "answer-2"]
def my_threshold(good_scores, rate):
    """One of the scores, or infinity."""
    # BEGIN SOLUTION
    # HINT: With 9 scores, how many gaps lie above the highest one, and how likely is the next score to fall there?
    # HINT: Of the n + 1 gaps at most rate * (n + 1) may lie above the threshold: the others are below it. Round up.
    # HINT: The rank is (1 - rate) * (n + 1), rounded up by np.ceil and int; if it is more than n, return infinity.
    rank = int(np.ceil((1 - rate) * (len(good_scores) + 1)))
    return np.sort(good_scores)[rank - 1] if rank <= len(good_scores) else np.inf
    # END SOLUTION


# %% tags=["exercise", "check-2"]
# NBVAL_CHECK_OUTPUT
checks.conformal_threshold(my_threshold)

# %% [markdown] tags=["exercise"]
# ### Exercise 3 (level 1). Find the planted bug: too sure of itself
#
# ```python
# def p_value(score, good_scores):
#     return (good_scores > score).mean()
# ```
#
# With nine good images it says that a score is *impossible* on a good product. Repair it: the p-value is the share of
# images that score as high or higher, the new one counted among the $n + 1$.


# %% tags=["exercise", "answer-3"]
def p_value(score, good_scores):
    """Between 1 / (n + 1) and 1."""
    # BEGIN SOLUTION
    # HINT: What does the function give for the highest score of all, and can nine images know that?
    # HINT: Count the new image, which scores as high as itself, above the line and below it.
    # HINT: Above the line is (good_scores >= score).sum() + 1, below it len(good_scores) + 1.
    return ((good_scores >= score).sum() + 1) / (len(good_scores) + 1)
    # END SOLUTION


# %% tags=["exercise", "check-3"]
# NBVAL_CHECK_OUTPUT
checks.p_value(p_value)

# %% [markdown] tags=["exercise"]
# ### Exercise 4 (level 3). Beat the leaderboard: what the mean has lost
#
# Features of the patches of good and of test images of carpet, `(images, patches, features)`. The line is new: four
# good pieces are all that is known. The distance of an image's mean vector to the nearest good one is a score already.
# Write a better one from the same features, for cuts and holes that are small. The check paints the test images for
# each answer (so it takes some seconds), shows the AUROC of the baseline, of the best known score and of yours, and
# passes where yours is *significantly* higher than the baseline's on the same images.

# %% tags=["exercise"]
encoder = backbones.load("tf_efficientnet_lite0")


def patch_features(stack):
    with torch.no_grad():
        maps = encoder.feature_maps(torch.from_numpy(stack.images), patch_layers(encoder))
    return locally_aware(list(maps.values()), grid=1).flatten(2).movedim(1, -1).numpy()


# The exercise is on the generated bottle, whatever your category is.
home = data if category.startswith("synthetic/") else None
course = load_table(get("synthetic/bottle", home, progress=False), "synthetic/bottle")
good_patches = patch_features(ImageStack.load(course[course["split"] == "train"].head(20), 128))
pieces = np.stack([synthetic.picture("carpet", "good", 128, (seed, number))[0] for number in range(4)])
good_carpet = patch_features(ImageStack(pieces.transpose(0, 3, 1, 2)))
print(good_patches.shape, good_carpet.shape)


# %% tags=["exercise", "answer-4"]
def my_score(good_patches, test_patches):
    """One number a test image, higher is more anomalous."""
    # BEGIN SOLUTION
    # HINT: A defect covers one patch of 256. By how much does it move the mean of all, and by how much its own patch?
    # HINT: How far is each patch from the nearest patch of any good image? And which patch of an image matters?
    # HINT: NearestNeighbors(n_neighbors=1) on all good patches gives a distance a patch; take the largest an image.
    from sklearn.neighbors import NearestNeighbors

    bank = NearestNeighbors(n_neighbors=1).fit(good_patches.reshape(-1, good_patches.shape[-1]))
    distance, _ = bank.kneighbors(test_patches.reshape(-1, test_patches.shape[-1]))
    return distance.reshape(len(test_patches), -1).max(1)
    # END SOLUTION


# %% tags=["exercise", "check-4"]
checks.beats_pooled_features(my_score, good_carpet)

# %% [markdown] tags=["exercise"]
# ### Exercise 5 (level 3). Make PaDiM fail, and mend it
#
# PaDiM ([Defard et al. 2020](https://arxiv.org/abs/2011.08785)) knows the features of good images *at each place*:
# mean $\mu_{xy}$ and covariance $\Sigma_{xy}$. Below it is on maps of the patches of exercise 4, 16 x 16 cells with
# features $f_{xy}$: an image scores the largest Mahalanobis distance
# $\sqrt{(f_{xy} - \mu_{xy})^\top \Sigma_{xy}^{-1} (f_{xy} - \mu_{xy})}$ of its cells.
#
# 1. Make it fail: choose how many cells `(down, right)` all test maps are moved by, at most 2 each, so that its AUROC
#    loses more than half of what it is better than guessing. A person would hardly see that the product was moved.
# 2. Mend it: every test map is moved by up to 2 cells in either direction, each by itself, and you do not know which
#    way. Write scores for such maps, with `padim` or without. It counts if the paired gain in AUROC over PaDiM is above
#    zero in 95 % of samples of the test images, drawn with replacement.

# %% tags=["exercise"]
rows = course[course["split"] == "test"]
is_defect = rows["is_defect"].to_numpy()
both = good_patches, patch_features(ImageStack.load(rows, 128))
good_maps, test_maps = (part.reshape(len(part), 16, 16, -1)[..., :8] for part in both)


def padim(good, test):
    mean, centred = good.mean(0), good - good.mean(0)
    covariance = np.einsum("nyxi,nyxj->yxij", centred, centred) / (len(good) - 1) + 0.01 * np.eye(good.shape[-1])
    apart = test - mean
    squared = np.einsum("nyxi,yxij,nyxj->nyx", apart, np.linalg.inv(covariance), apart)
    return np.sqrt(squared.max(axis=(1, 2)))


# %% tags=["exercise", "answer-5"]
# BEGIN SOLUTION: shift
shift = (0, 1)  # cells down, cells to the right
# END SOLUTION


def mended(padim, good, test):
    """One number a test map; ``good`` and ``test`` are (images, rows, columns, features)."""
    # BEGIN SOLUTION
    # HINT: Which of its 25 possible moves would you undo, and how would you know that you undid the right one?
    # HINT: np.roll(test, (down, right), axis=(1, 2)) moves all maps. A map that lies as the good ones scores lowest.
    # HINT: Score the maps once for each of the 25 moves, and take the lowest score of each map.
    steps = range(-2, 3)
    scores = [padim(good, np.roll(test, (down, right), axis=(1, 2))) for down in steps for right in steps]
    return np.min(scores, axis=0)
    # END SOLUTION


# %% tags=["exercise", "check-5"]
checks.shift_padim(shift, mended, padim, good_maps, test_maps, is_defect)

# %% [markdown]
# **More to try.** Set `ratio=0.01` in PatchCore: what happens to AUROC, AUPRO and milliseconds? Put three defective
# images among the good ones: which detectors notice, which learn them? Let PatchCore
# tolerate `colour` as well: which defects of a category of yours would that hide?

# %% [markdown]
# ## What to remember
#
# Good images alone are enough to find most defects, if patches are compared rather than images. A memory of patches is
# large; a greedy coreset keeps a tenth of it and loses little. A threshold from good images comes with a
# promise; the best F1 on the test set comes with none. All of it rests on photographs taken alike.
#
# **Next:** `05_detection_segmentation` turns masks and heat maps into annotations.
