# ---
# jupyter:
#   hw3lib:
#     thumbnail: long_tail
#     files:
#       - metrics.json
#       - methods.csv
#       - ranking.csv
#       - recognition.csv
#       - leak.csv
#       - figures/long_tail.png
#       - figures/made_deepsmote.png
#       - figures/made_lro.png
#       - figures/made_copy_paste.png
#       - figures/latent_map.png
#       - figures/latent_walk.png
#       - figures/ranking.png
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
# # 3. Imbalance and oversampling
#
# *About two minutes in the quick profile on two cores.*
#
# Assignment question 3: say what a long-tail distribution is, and how the methods of four papers answer it on this
# product: DeepSMOTE, LRO, LEAP and Adsh.
#
# After this notebook you can
#
# - **measure** how long a tail is, in more than one number;
# - **make** images of a rare class between two real ones, and check whether they are any good;
# - **tell** sampling, weighting, margins, unlabelled images and generated images apart by what they change;
# - **compare** them with plain training on the same splits, and accept it if nothing helps;
# - **spot** the leak that makes an oversampled test set look wonderful.

# %% tags=["parameters"]
category = "synthetic/bottle"  # any category of MVTec AD, a generated one, or a folder of your own
data = None  # folder that holds the category; None looks in HW3_DATA and data/
profile = "quick"  # "quick" or "full"
out = None  # results folder; None is runs/interactive/03
seed = 0
ratio = 10  # of the largest to the smallest defect type in the training parts
n_splits: int | None = None  # None: 10 in the quick profile, 30 in the full one
n_sets = 10  # independent sets of a generated category
set_size = 9  # images of each class in one of them

# %% tags=["setup"]
from hw3lib.core import machine, say

machine.prepare()  # as `hw3 run` does, before PyTorch is loaded: on a busy machine its threads wait without spinning

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from hw3lib import RunFolder, imbalance
from hw3lib.course import checks, outcome, predict
from hw3lib.data import ImageStack, class_counts, classification_images, get, load_masks, load_table, redraw, splittable
from hw3lib.networks import backbones, pick_device
from hw3lib.views import plots, tables, widgets

plt.rcParams["figure.dpi"] = 72

# %% [markdown]
# ## A long tail
#
# A few classes hold most of the images (the head), many hold few (the tail). On a production line it cannot be
# otherwise: good products are plenty, and the defect that matters most may be the rarest. A classifier that has seen a
# class twice guesses it seldom, and the accuracy hardly shows it, because the class is rare in the test as well. So
# this notebook counts *balanced accuracy*, the mean of the classes' recalls.

# %% tags=["setup"]
# NBVAL_CHECK_OUTPUT
root = get(category, data, profile=profile, progress=False)
table = load_table(root, category)
run = RunFolder("03", table, profile, out, seeds={"splits": seed, "training": seed}, device=pick_device().type)
n_splits = n_splits or {"quick": 10, "full": 30}[profile]
run.announce(n_splits=n_splits, test_size=0.2, random_state=seed)  # what is left out, for want of which images
images, splits, _ = splittable(classification_images(table, random_state=seed), n_splits, 0.2, seed)
print(class_counts(table)["total"].to_dict())

# %%
say(imbalance.describe_long_tail(table), width=100)
run.figure(plots.imbalance.long_tail(table), "long_tail")

# %% [markdown]
# **Why** more than one number: the ratio sees two classes only, the largest and the smallest. The Gini coefficient and
# the effective number see all, and change little where one class alone is rare.

# %% [markdown]
# ## A tail among the defects
#
# The test folder holds about as many images of each defect type: MVTec AD was collected so. A line does not deliver
# them so. `make_longtail` cuts the types down to `n_max * ratio^(-c / (C - 1))` images, type c of C
# ([Cui et al. 2019](https://arxiv.org/abs/1901.05555)); good images stay. A single type is cut to be the tail of the
# good images.

# %%
# NBVAL_CHECK_OUTPUT
tail = imbalance.make_longtail(images, ratio, by="auto", random_state=seed)
print(imbalance.class_sizes(tail).to_dict())

# %% [markdown]
# ## Four papers
#
# **DeepSMOTE** ([Dablain et al. 2021](https://arxiv.org/abs/2105.02340)). An encoder and a decoder learn to redraw
# images. New ones are decoded from points between the codes of two neighbours of one class. A penalty asks codes in
# another order to give back the images in their first order, so that points between codes are trained too. Here it
# generates images of the rare defects.
#
# **LRO** (Kim et al. 2021, Computers & Industrial Engineering 162, 107767). Clusters within a rare class get new
# samples in favour of the rarer clusters, and hard images, by an autoencoder's loss, in favour of easy ones. The full
# text was not at hand: what runs here is a reconstruction after its summary, and is called LRO-style.
#
# **LEAP** ([Liu et al. 2020](https://arxiv.org/abs/2002.10826)). Features of rare classes spread too little around
# their centre, in angle. Each of them becomes a cloud as wide as those of the head. Here it is a loss on the features
# of a frozen network.
#
# **Adsh** ([Guo and Li 2022](https://proceedings.mlr.press/v162/guo22e.html)). Unlabelled images teach once the network
# is sure of them. How sure it must be is set for each class, so that rare ones are not shut out. Here good training
# images, and what the tail cut away, serve without their labels.
#
# ## SMOTE by hand
#
# A new sample is a point between two neighbours of one class. DeepSMOTE does so between codes, not pixels: half-way
# between two photographs lies a double exposure, half-way between two codes, if all goes well, a third photograph.

# %%
stack = ImageStack.load(tail, 64)
labels = tail["defect"].to_numpy()
deepsmote = imbalance.DeepSmote(random_state=seed)
made, made_labels = deepsmote.fit_resample(stack.images, labels)
say(f"{len(stack.images)} real images, {len(made) - len(stack.images)} generated")

# %%
# NBVAL_CHECK_OUTPUT
codes = deepsmote.latents_
first, second = deepsmote.parents_.T  # two neighbours of one class for each new image
by_hand = codes[first] + deepsmote.gaps_[:, None] * (codes[second] - codes[first])
say("every parent pair is of one class:", bool((labels[first] == labels[second]).all()))
say("the library makes the same codes:", bool(np.allclose(by_hand, deepsmote.generated_latents_, atol=1e-5)))

# %% [markdown]
# What looks worse in a generated image than in a real one: colour, outline, or the defect?

# %%
run.figure(plots.imbalance.made_images(stack.images, labels, made, made_labels), "made_deepsmote")

# %% [markdown]
# **Why** they are smooth: the decoder is trained on squared error, and where it is not sure it draws the mean of what
# is possible. A small defect costs little error, so it goes first.

# %%
run.figure(plots.imbalance.latent_map(deepsmote, labels, made_labels), "latent_map")

# %% [markdown]
# **Why** new codes lie on lines: each is between two neighbours of its class. Where two classes overlap in the map, a
# line between two images of the one passes through the other. (The map is a projection: it can overlap where codes do
# not.)

# %%
sizes = imbalance.class_sizes(tail)
walked = max(sizes[sizes > 1].index, key=lambda name: (name != "good", sizes[name]))
ends = np.flatnonzero(labels == walked)[:2]
run.figure(plots.imbalance.latent_walk(deepsmote, *stack.images[ends]), "latent_walk")
# %%
widgets.in_person(widgets.walk, deepsmote, stack.images, tail)

# %% [markdown]
# **Why** the middle matters: the ends are images that the decoder has learned, the middle is what oversampling adds.
# If it shows two faint defects at once, half-way between the codes was no third photograph.

# %% [markdown]
# LRO's idea on the same images. Clusters of codes in each class stand for its patterns; the rarer a pattern, the more
# samples it gets.

# %%
lro = imbalance.LroStyle(random_state=seed)
made_lro, made_lro_labels = lro.fit_resample(stack.images, labels)
run.figure(plots.imbalance.made_images(stack.images, labels, made_lro, made_lro_labels), "made_lro")

# %% [markdown]
# **Why** some look alike: a pattern that was photographed once has no neighbour of its own kind to be mixed with, and
# the rarer it is the more often it is used.

# %% [markdown]
# A fifth answer, of none of the four papers, needs masks and no network: cut the defect out and put it onto a good
# image, edges blended (Ghiasi et al. 2021, [arXiv 2012.07177](https://arxiv.org/abs/2012.07177)). The defect is real,
# and so is what surrounds it; new is only that they stand together.

# %%
can_paste = bool(tail["mask"].notna().any() and (labels == "good").any())
if can_paste:
    copy_paste = imbalance.CopyPaste(masks=load_masks(tail, 64), random_state=seed)
    pasted, pasted_labels = copy_paste.fit_resample(stack.images, labels)
    figure = plots.imbalance.made_images(stack.images, labels, pasted, pasted_labels, columns=4)
else:
    figure = plots.nothing("no masks, or no good images: nothing can be pasted")
run.figure(figure, "made_copy_paste")

# %% [markdown]
# **Why** these are sharp: no network draws them. **Why** some look wrong: the defect lies where it lay, and the other
# product may have another part, or another light, at that place.

# %% [markdown]
# Are they recognisable? Ask a classifier of real images which class each is of. It must not have learned from the
# images that the generators were given: it would recognise their copies, whatever they look like. So each class is
# judged by classifiers without its images in the tail (cross-fitted: each leaves out a fold of all images besides). Two
# ends stand beside the generators: *copies* of the images in the tail, which add nothing, and *real images, not seen*,
# which are all that a class can be. **Predict first**: which generator comes nearest to the second?
#
# The authors' program differs from their paper: it shifts codes and target images alike, so that its penalty is
# reconstruction within a class. It stands beside the paper's rule, which asks the decoder for the mean of a rare class,
# and so blurs it.

# %%
names = ["DeepSMOTE", "DeepSMOTE, official program", "LRO-style", "copy-paste"]
predict("the generator nearest to real images", ..., ..., among=names if can_paste else names[:3])

# %%
from hw3lib.data import products

network = backbones.load("tf_efficientnet_lite0")


@torch.no_grad()
def features(batch):
    large = torch.nn.functional.interpolate(torch.from_numpy(batch).float(), 224, mode="bilinear", antialias=True)
    return torch.cat([network.embed(part) for part in large.split(16)]).numpy()


official = imbalance.DeepSmote(variant="official", random_state=seed).fit_resample(stack.images, labels)
generators = {
    "DeepSMOTE": (made, made_labels),
    "DeepSMOTE, official program": official,
    "LRO-style": (made_lro, made_lro_labels),
}
new = slice(len(labels), None)
judged = {name: imbalance.Made(features(x[new]), y[new]) for name, (x, y) in generators.items()}
if can_paste:
    onto = tail.index.to_numpy()[copy_paste.parents_[:, 1]]  # good images, which a judge must not have seen either
    judged["copy-paste"] = imbalance.Made(features(pasted[new]), pasted_labels[new], onto)

# %%
real_features, real_labels = features(ImageStack.load(images, 64).images), images["defect"].to_numpy()
given = tail.index.to_numpy()
recognition = imbalance.recognised(real_features, real_labels, given, judged, groups=products(images), seed=seed)
tables.shown(run.table(recognition.table, "recognition"))

# %%
recognised = recognition.shares
pd.Series(recognised, name="assigned to their class, mean of the rare classes").to_frame().round(2)

# %%
to_real = abs(pd.Series(recognised)[list(judged)] - recognised["real images, not seen"])
outcome("the generator nearest to real images", -to_real)

# %% [markdown]
# The first table is a confusion matrix for each: its last columns say what the images of a class were called. A class
# that a generator blurs is called something else, and the mean hides it.
#
# ## The leak
#
# Oversample first and split afterwards, and copies or half-brothers of the test images are trained on. Many published
# tables did so. **Predict first**: how many points does it add?

# %%
predict("points that the leak adds", (..., ...), ...)

# %%
smallest = imbalance.class_sizes(images).min()
mild = imbalance.make_longtail(images, min(3, smallest / 2), by="auto", random_state=seed)  # two of each class, or more
leak = imbalance.leak_experiment(
    real_features[mild.index],
    mild["defect"].to_numpy(),
    imbalance.RandomOversampler(random_state=seed),
    n_splits=10,
    test_size=0.5,
    random_state=seed,
    groups=products(mild),
)
run.table(leak.table, "leak")
say(f"balanced accuracy, honest {leak.table['honest'].mean():.0%}, with the leak {leak.table['leaky'].mean():.0%}")
say(f"inflated by {leak.inflation.points(0)}")
outcome("points that the leak adds", 100 * leak.inflation.value)

# %% [markdown]
# ## All answers, one footing
#
# Each method trains the same linear layer on the same frozen features, in the same number of steps. `paper` says whose
# settings it has, and `differs` what is set otherwise here, and why: the papers train whole networks for days, on many
# classes. In each split the training part is cut to a long tail, another type is the rarest each time, and the
# test part stays as it is.
#
# Splits of real photographs share them, however many splits there are, so their intervals are wide. Images of a
# generated category can be painted anew: there sets that share no image take the place of splits, and each set tests
# what all others taught. Which kind would you expect to help the tail most: weights, sampling, margins, mixing,
# unlabelled or generated images?

# %%
all_methods = [
    {"method": m.name, "kind": m.kind, "paper": m.paper, "differs": m.differs} for m in imbalance.METHODS.values()
]
pd.set_option("display.max_colwidth", None)  # whole sentences
pd.DataFrame(all_methods).set_index("method")

# %%
drawn, sets = redraw(table, n_splits, 0.2, seed, n_sets=n_sets, per_class=set_size, keep=run.folder / "splits")
good = table[(table["split"] == "train") & ~table["is_defect"] & ~table["image"].isin(images["image"])]
slow = [name for name, m in imbalance.METHODS.items() if m.kind == "generated images" or name == "cutmix"]
skipped = {"quick": slow, "full": []}[profile] + ([] if can_paste else ["copy-paste"])
methods = [name for name in imbalance.METHODS if name not in skipped]
compared = imbalance.compare_methods(
    drawn,
    sets,
    methods=methods,
    ratios=(5, ratio) if profile == "full" else (ratio,),
    unlabelled=good.sample(min(len(good), 40), random_state=seed),
    ceiling=True,
    views={"quick": 2, "full": 4}[profile],
    keep=run.folder / "splits",
    seed=seed,
)
ranking = run.table(compared.ranking(), "ranking")
say(compared.design)
columns = ["method", "balanced_accuracy", "gain", "gain_low", "gain_high", "gain_p", "verdict", "needed", "tail_recall"]
tables.shown(ranking[columns])

# %%
ceiling = compared.ceiling()
run.figure(plots.imbalance.ranking(ranking, ceiling), "ranking")

# %% [markdown]
# **Why** some rows are nearly equal: on frozen features weights, sampling and margins all move the same linear
# boundaries, most by about as much as the class sizes say, and where two methods decide all but a few test images
# alike, their figures are the same. Methods of one family (ArcFace, CosFace and LEAP, which is a cloud around one of
# these two) share their loss and differ in one term: expect their rows together.
#
# Colours are for all methods together: of eighteen without effect, some gain would by chance leave out zero in about
# one such comparison of six. Holm's method allows for their number; the bars are each by itself. A gain that is not
# significant may be none, or one that these images cannot show. *Equivalent* says more: the gain is significantly
# smaller than 5 points either way (two one-sided tests; [Schuirmann 1987](https://doi.org/10.1007/BF01068419)), so that
# of such a method at most that much can be hoped for.
#
# The black line is no method: it is plain training with all the images that the tail cut away. An answer to imbalance
# makes up for missing images, so this is about what there is to win. Where the black line itself reaches zero, these
# images cannot show that any answer helps: `needed` says how many it takes to find a gain of 5 points in four of five
# such comparisons. Which answers would help on another category, and how much of the black line would they reach?
#
# DeepSMOTE and LRO train a network in each split, and cutmix's images pass through the backbone: the full profile
# compares them too (`hw3 run 03 --profile full`). Copy-paste alone reads the masks; all others do without. On a frozen
# network LEAP can move the classes' directions only, not the features.
#
# ## What came out
#
# Written from the numbers above, whatever they are.

# %%
text = (
    f"{compared.text()} Classifiers that have seen none of their parents assign, as a mean of the rare classes, "
    f"{recognised['DeepSMOTE']:.0%} of DeepSMOTE's and {recognised['LRO-style']:.0%} of LRO's images to their class, "
    f"{recognised['copies']:.0%} of copies and {recognised['real images, not seen']:.0%} of real images that they have "
    f"not seen. Oversampled before the split, a test seems to gain {leak.inflation.points(0)}."
)
say(text, width=100)

# %%
run.metrics(
    methods=run.table(compared.table(), "methods"),
    recognised=recognised,
    leak={"table": leak.table} | leak.inflation.columns("inflation") | leak.inflation_real.columns("inflation_real"),
    ceiling=ceiling.to_dict(),
    design=str(compared.design),
    power=compared.design.power(ranking["needed"]),
    n_splits=n_splits,
    summary=text,
)

# %% [markdown]
# ## Checkpoint
#
# - Name a case where a class with few images is no problem, and one where a balanced set is.
# - Why can no point between two codes show a defect that no real image has?
# - Which methods change the data, which the loss, which the decision? Which could you combine?
# - Copy-paste knows more than the others. What, and what does it cost to know that?
# - Why must the tail be another type in each split before you may say that a method helps?
#
# ## Exercises
#
# Each has a check that answers at once. They are in `exercises/ex03_imbalance_oversampling.ipynb` to be solved; here
# the answers are folded away.

# %% [markdown] tags=["exercise"]
# ### Exercise 1 (level 1). Fill in: class-balanced weights
#
# Images of one class resemble each other, so the $n$-th one adds less than the first, by a factor $\beta < 1$ each.
# The *effective number* of $n$ images ([Cui et al. 2019](https://arxiv.org/abs/1901.05555)) is
#
# $$E_n = 1 + \beta + \dots + \beta^{n-1} = \frac{1 - \beta^n}{1 - \beta}$$
#
# Weigh each class by one over it, and scale the weights so that their mean is 1.


# %% tags=["exercise", "answer-1"]
def class_balanced_weights(counts, beta):
    """One weight a class, from the numbers of images (an array)."""
    # BEGIN SOLUTION
    # HINT: Which class should get the larger weight, one with many images or one with few?
    # HINT: Compute one over the effective number for all classes at once; counts is an array, and powers are **.
    # HINT: With these raw weights, return weights / weights.mean().
    weights = (1 - beta) / (1 - beta**counts)
    return weights / weights.mean()
    # END SOLUTION


# %% tags=["exercise", "check-1"]
# NBVAL_CHECK_OUTPUT
checks.class_balanced_weights(class_balanced_weights)

# %% [markdown] tags=["exercise"]
# ### Exercise 2 (level 1). Fill in: decide as if the classes were balanced
#
# A network trained on a long tail gives the logits $f_c(x)$, an array `(images, classes)`. They are logarithms of
# probabilities (up to a constant an image), and by Bayes' rule $p(c \mid x) \propto p(x \mid c)\, \pi_c$, where
# the prior $\pi_c$ is the share of class $c$ in the training images. Take it out.


# %% tags=["exercise", "answer-2"]
def adjusted_logits(logits, counts):
    """Logits of a balanced world; ``counts`` are the training images of each class."""
    # BEGIN SOLUTION
    # HINT: What becomes of a factor under the logarithm?
    # HINT: The logarithm of the product is a sum; the term to take away is the logarithm of each class's share.
    # HINT: The share is counts / counts.sum(); numpy subtracts a row of it from every row of logits.
    return logits - np.log(counts / counts.sum())
    # END SOLUTION


# %% tags=["exercise", "check-2"]
# NBVAL_CHECK_OUTPUT
checks.logit_adjustment(adjusted_logits)

# %% [markdown] tags=["exercise"]
# ### Exercise 3 (level 2). Find the planted bug: a wonderful test result
#
# ```python
# def prepare(X, y, train, test, oversample):
#     X, y = oversample(X, y)
#     return X[train], y[train], X[test], y[test]
# ```
#
# `train` and `test` are rows of `X`. Repair it: what is trained on is to be balanced, and nothing else.


# %% tags=["exercise", "answer-3"]
def prepare(X, y, train, test, oversample):
    """X_train, y_train, X_test, y_test."""
    # BEGIN SOLUTION
    # HINT: After the first line, where can a copy of a test row be?
    # HINT: Take the training rows first, and give the oversampler nothing else.
    # HINT: oversample(X[train], y[train]) gives what to train on; X[test], y[test] stay as they are.
    X_train, y_train = oversample(X[train], y[train])
    return X_train, y_train, X[test], y[test]
    # END SOLUTION


# %% tags=["exercise", "check-3"]
# NBVAL_CHECK_OUTPUT
checks.oversample_after_split(prepare)

# %% [markdown] tags=["exercise"]
# ### Exercise 4 (level 2). Choose a threshold for given costs
#
# A score is high where a product looks defective; from a threshold $t$ on it is stopped. You have the scores of
# validation images, and know which are defective. There are far more defects among them than on the line, where only
# the share $\pi$ of the products is defective (`defect_rate`). A defect that passes costs $c_m$ (`miss`), a good
# product that is stopped costs $c_a$ (`alarm`). With the shares $m(t)$ of defective images that are missed and $a(t)$
# of good images that are stopped, a product costs on average
#
# $$C(t) = \pi\, c_m\, m(t) + (1 - \pi)\, c_a\, a(t)$$
#
# Return the threshold with the lowest cost: a score, or infinity if it is cheapest to stop nothing.


# %% tags=["exercise", "answer-4"]
def cheapest_threshold(scores, is_defect, miss, alarm, defect_rate):
    """A number; ``is_defect`` is a bool array."""

    # BEGIN SOLUTION
    # HINT: Between two neighbouring scores nothing changes. How many thresholds are there to try?
    # HINT: Try each score, and infinity: compute both shares and the cost, and keep the cheapest.
    # HINT: m(t) is (scores[is_defect] < t).mean(), a(t) is (scores[~is_defect] >= t).mean().
    def cost(t):
        missed, stopped = (scores[is_defect] < t).mean(), (scores[~is_defect] >= t).mean()
        return defect_rate * miss * missed + (1 - defect_rate) * alarm * stopped

    return min([*scores, np.inf], key=cost)
    # END SOLUTION


# %% tags=["exercise", "check-4"]
# NBVAL_CHECK_OUTPUT
checks.cheapest_threshold(cheapest_threshold)

# %% [markdown] tags=["exercise"]
# ### Exercise 5 (level 3). Implement copy-paste
#
# `image` (uint8, height x width x 3) has a defect where `mask` is true. `good` is a good image of the same size, whose
# product lies where `product` is true. Cut the defect out along its mask and put it onto the good product: somewhere
# else, drawn by `rng` among all places at which *all* of the defect lies on the product. The rest of the good image
# stays as it is. (The library blends the edges; here they may be sharp.)


# %% tags=["exercise", "answer-5"]
def copy_paste(image, mask, good, product, rng):
    """The new image, and its mask."""
    # BEGIN SOLUTION
    # HINT: By which shifts does the defect stay in the frame, and at which of those does it lie on the product?
    # HINT: rows, columns = np.nonzero(mask) are the pixels; moved by (down, right) all must be true in product.
    # HINT: List all shifts that fit, draw one with rng.integers(len(shifts)), and copy the pixels to their new places.
    rows, columns = np.nonzero(mask)
    shifts = [
        (down, right)
        for down in range(-rows.min(), mask.shape[0] - rows.max())
        for right in range(-columns.min(), mask.shape[1] - columns.max())
        if product[rows + down, columns + right].all()
    ]
    down, right = shifts[rng.integers(len(shifts))]
    made, made_mask = good.copy(), np.zeros_like(mask)
    made[rows + down, columns + right] = image[rows, columns]
    made_mask[rows + down, columns + right] = True
    return made, made_mask
    # END SOLUTION


# %% tags=["exercise", "check-5"]
# NBVAL_CHECK_OUTPUT
checks.copy_paste(copy_paste)

# %% [markdown]
# **More to try.** Set `ratio = 3`: from which ratio on does anything help? Combine balanced batches with post-hoc logit
# adjustment: should that help, and does it?

# %% [markdown]
# ## What to remember
#
# A long tail is measured, not felt: ratio, Gini, effective number of classes. Answers change the samples, the loss, the
# features or the decision. On frozen features and few images most of them move errors from the tail to the head; what
# is gained must be shown on paired splits, tail by tail. Generated and pasted images add no defect that has not been
# photographed; where masks are at hand, pasting costs seconds. Split first, oversample afterwards.
#
# **Next:** `04_anomaly_detection` does without defects altogether.
