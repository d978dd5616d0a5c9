# ---
# jupyter:
#   hw3lib:
#     thumbnail: samples
#     files:
#       - metrics.json
#       - classes.csv
#       - dimensions.csv
#       - defects.csv
#       - figures/samples.png
#       - figures/class_distribution.png
#       - figures/defect_area.png
#       - figures/defect_position.png
#       - figures/working_sizes.png
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
# # 1. Dataset statistics
#
# *Under half a minute in the quick profile, once the images are there.*
#
# Assignment question 1: choose one product of MVTec AD and document its defect classes, how many images there are, how
# they are split into training and test, and their dimensions.
#
# After this notebook you can
#
# - **read** the layout of MVTec AD into a table, and check it for what would spoil everything after it;
# - **count** classes and splits, and say why this data set is a long tail;
# - **measure** defects from their masks: area, number of regions, position;
# - **predict** which defects a network of a given input size can see at all.

# %% tags=["parameters"]
category = "synthetic/bottle"  # any category of MVTec AD, a generated one, or a folder of your own
data = None  # folder that holds the category; None looks in HW3_DATA and data/
profile = "quick"  # "quick" or "full"
out = None  # results folder; None is runs/interactive/01
seed = 0

# %% tags=["setup"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hw3lib import RunFolder
from hw3lib.core import say
from hw3lib.course import checks, outcome, predict
from hw3lib.data import (
    check_category,
    class_counts,
    defect_statistics,
    get,
    image_dimensions,
    imbalance_ratio,
    load_table,
    read_mask,
)
from hw3lib.views import plots, widgets

plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## A category is a table
#
# `get` finds the category, or makes or downloads it. `load_table` turns the folders into one row an image. Everything
# in this course is an operation on this table; nothing else looks at folders.
#
# **Predict first.** MVTec AD was made for anomaly detection. In which split do you expect the defects to be? In your
# own copy of this chapter (`hw3 start`) the dots wait for your answer and for how sure you are of it, from 0 to 1; a
# number is predicted by two that it will lie between. Chapter 06 shows how often you were right when you were so sure.

# %%
predict("the split that holds the defects", ..., ..., among=["train", "test"])

# %% tags=["setup"]
root = get(category, data, profile=profile, progress=False)
table = load_table(root, category)
run = RunFolder("01", table, profile, out, seeds={"pictures": seed})
run.announce()  # what is left out, for want of which images

view = table.assign(image=table["image"].str.replace(table.attrs["root"], "...", regex=False))
view.drop(columns="mask").groupby(["split", "defect"], sort=False).head(1).reset_index(drop=True)

# %% [markdown]
# Before anything is counted, everything is decoded once: a truncated file, a mask of another size or the same picture
# in training and test would make every later number wrong.

# %%
# NBVAL_CHECK_OUTPUT
say(check_category(table).summary())

# %% [markdown]
# ## Which classes are there, and how many images?

# %%
# NBVAL_CHECK_OUTPUT
counts = run.table(class_counts(table), "classes")
print(counts)
say("defect classes:", (counts.index != "good").sum())
outcome("the split that holds the defects", table.loc[table["is_defect"], "split"].unique())

# %%
run.figure(plots.dataset.class_distribution(table), "class_distribution")
# %% [markdown]
# All defects are in the test split: training holds good products only. A classifier of defect types (notebook 02) must
# therefore split the test images again; an anomaly detector (question 4) may use the training images as they are.
#
# The *imbalance ratio* is the size of the largest class over that of the smallest.

# %%
# NBVAL_CHECK_OUTPUT
say(f"imbalance ratio of all images:      {imbalance_ratio(table):.1f}")
say(f"imbalance ratio of the test images: {imbalance_ratio(table[table['split'] == 'test']):.1f}")

# %% [markdown]
# ## Image dimensions

# %%
# NBVAL_CHECK_OUTPUT
dimensions = run.table(image_dimensions(table), "dimensions")
print(dimensions.to_string(index=False))

# %% [markdown]
# ## What do they look like?
#
# Each row is a class. The yellow line is the border of the ground-truth mask. In which rows would you have found the
# defect without it?

# %%
run.figure(plots.dataset.samples(table, columns=4, seed=seed), "samples")
# %% [markdown]
# Look closer: choose a class and an image, and switch the outline off and on. (Executed without a person in front of
# it, this cell shows the first image only.)

# %%
widgets.browse(table)

# %% [markdown]
# ## How large are the defects?
#
# A mask is an image of zeros and ones, so its mean is the defective share. Here it is for one image, by hand; the
# library does the same for all of them and counts the regions and their centre of mass besides.
#
# **Predict first**, from the pictures: which type is largest, and how much of the smallest defect of all is left if the
# image is shrunk to 32 x 32 pixels?

# %%
types = table.loc[table["is_defect"], "defect"].unique().tolist()
predict("the type with the largest median area", ..., ..., among=types)
predict("pixels of the smallest defect at 32 x 32", (..., ...), ...)

# %%
one = table[table["mask"].notna()].head(1)
if len(one):
    mask = read_mask(one["mask"].iloc[0])  # bool, height x width
    area = mask.mean()
    rows, columns = np.nonzero(mask)
    centre = (columns.mean() + 0.5) / mask.shape[1], (rows.mean() + 0.5) / mask.shape[0]
    say(f"{one['defect'].iloc[0]}: {area:.2%} of the image, centre at x={centre[0]:.2f}, y={centre[1]:.2f}")
    library = defect_statistics(one).iloc[0]
    assert np.allclose([area, *centre], [library["area"], library["x"], library["y"]])
else:
    say("this category has no masks")

# %%
defects = defect_statistics(table)
run.table(defects.assign(image=defects["image"].str.replace(table.attrs["root"], "...", regex=False)), "defects")
if len(defects):
    summary = defects.groupby("defect").agg(
        masks=("area", "size"),
        median_area=("area", "median"),
        smallest=("area", "min"),
        largest=("area", "max"),
        one_region=("regions", lambda r: (r == 1).mean()),
    )
    print((100 * summary.drop(columns="masks")).round(2).add_suffix(" %").assign(masks=summary["masks"]).to_string())

# %%
# NBVAL_CHECK_OUTPUT
say(f"{len(defects)} masks")
outcome("the type with the largest median area", defects.groupby("defect")["area"].median())

# %%
run.figure(plots.dataset.defect_area(defects), "defect_area")
# %% [markdown]
# ## Where are they?
#
# The share of images of each type that are defective at each place. A defect type that always sits at one place could
# be learned from the place alone.

# %%
run.figure(plots.dataset.defect_position(table), "defect_position")
# %% [markdown]
# ## What does a network see?
#
# Two of the four reports that this course follows shrank their images to 32 and 64 pixels. At which size do
# you lose the defect? Each row is the *smallest* defect of its type.

# %%
smallest = defects.loc[defects.groupby("defect")["area"].idxmin(), "image"]
rows = [next(table[table["image"] == image].itertuples()) for image in smallest]
rows = rows or list(table.groupby("defect").head(1).itertuples())  # a category without masks
run.figure(plots.dataset.working_sizes(rows, [32, 64, 128, 224]), "working_sizes")
# %%
sizes = [32, 64, 128, 224]
pixels = pd.DataFrame({f"{s} px": (defects["area"] * s * s).groupby(defects["defect"]).min().round() for s in sizes})
say("pixels of the smallest defect at each working size")
print(pixels.astype(int).to_string())
outcome("pixels of the smallest defect at 32 x 32", pixels["32 px"].min())

# %%
run.metrics(
    images=len(table),
    train=int((table["split"] == "train").sum()),
    test=int((table["split"] == "test").sum()),
    classes=counts["total"],
    defect_classes=int((counts.index != "good").sum()),
    image_size=dimensions.loc[0, ["width", "height"]].tolist(),
    imbalance_ratio=imbalance_ratio(table),
    defects=defects.groupby("defect")["area"].median().rename("median_area").reset_index(),
)

# %% [markdown]
# ## Checkpoint
#
# - Why can notebook 02 not train on the folder `train/`?
# - A defect covers 0.5 % of the image. How many pixels is that at 32 x 32? And at 224 x 224?
# - The test split is nearly balanced, the whole set is not. Which of the two does accuracy flatter?
#
# ## Exercises
#
# Each has a check that answers at once. They are in `exercises/ex01_dataset_statistics.ipynb` to be solved; here the
# answers are folded away.

# %% [markdown] tags=["exercise"]
# ### Exercise 1 (level 1). Fill in: the imbalance ratio
#
# Write it yourself, from a list of labels. It should be 1 for a balanced set.


# %% tags=["exercise", "answer-1"]
def my_imbalance_ratio(labels):
    """Images of the largest class over images of the smallest one."""
    # BEGIN SOLUTION
    # HINT: Of which two classes does it speak, and what would it be if both were alike?
    # HINT: Count how often each label occurs: pandas (value_counts) and collections (Counter) both can.
    # HINT: With these counts, divide the largest by the smallest.
    counts = pd.Series(labels).value_counts()
    return counts.max() / counts.min()
    # END SOLUTION


# %% tags=["exercise", "check-1"]
# NBVAL_CHECK_OUTPUT
checks.imbalance_ratio(my_imbalance_ratio)

# %% [markdown] tags=["exercise"]
# ### Exercise 2 (level 2). Predict, then measure: which defect type lies farthest out?
#
# `defects` has a row for each mask; `x` and `y` are its centre of mass $(x, y)$, as shares of width and height. Guess
# from the maps of the chapter (or from the product) whose *mean position* $(\bar x, \bar y)$ is farthest from the
# image's centre, $(0.5, 0.5)$. Then write what finds it in any such table.

# %% tags=["exercise"]
# The exercise is on the generated bottle, whatever your category is.
home = data if category.startswith("synthetic/") else None
course = load_table(get("synthetic/bottle", home, progress=False), "synthetic/bottle")
defects = defect_statistics(course)
predict("the type whose mean lies farthest out", ..., ..., among=sorted(defects["defect"].unique()))


# %% tags=["exercise", "answer-2"]
def farthest_type(defects):
    """Name of the type whose mean position is farthest from the centre."""
    # BEGIN SOLUTION
    # HINT: A ring of defects lies far out everywhere. Where is its mean position?
    # HINT: Average x and y of each type first (groupby), then measure the distance of each mean from (0.5, 0.5).
    # HINT: np.hypot(mean["x"] - 0.5, mean["y"] - 0.5) has the distances; idxmax() gives the name of the largest.
    mean = defects.groupby("defect")[["x", "y"]].mean()
    return np.hypot(mean["x"] - 0.5, mean["y"] - 0.5).idxmax()
    # END SOLUTION


# %% tags=["exercise", "check-2"]
checks.farthest_type(farthest_type)
outcome("the type whose mean lies farthest out", farthest_type(defects))

# %% [markdown] tags=["exercise"]
# ### Exercise 3 (level 2). Find the planted bug: a split that leaks
#
# A colleague splits a table into halves like this, and is delighted with the accuracy:
#
# ```python
# def split(table, seed):
#     train = table.sample(frac=0.5, random_state=seed)
#     test = table.sample(frac=0.5, random_state=seed + 1)
#     return train, test
# ```
#
# Two things are wrong with it. Write one that is fair: no image in both parts, none lost, and half of *each class* in
# each part. Another `seed` gives another split, the same one the same.


# %% tags=["exercise", "answer-3"]
def fair_split(table, seed):
    """Two tables, train and test."""
    # BEGIN SOLUTION
    # HINT: Which images can both calls of sample draw? And how many of a class of four come into train?
    # HINT: Draw the training images of each class by itself; the test images are those that are left.
    # HINT: groupby("defect").sample(frac=0.5, random_state=seed) draws in each class; drop(train.index) has the rest.
    train = table.groupby("defect").sample(frac=0.5, random_state=seed)
    return train, table.drop(train.index)
    # END SOLUTION


# %% tags=["exercise", "check-3"]
# NBVAL_CHECK_OUTPUT
checks.fair_split(fair_split)

# %% [markdown] tags=["exercise"]
# ### Exercise 4 (level 3). Find the leak: one photograph, twice
#
# A split is fair only as far as its images are different ones. Somebody has enlarged a data set: some photographs were
# saved again, mirrored (left and right exchanged), or in another light, so that each pixel $p$ became $a\,p + b$ with
# one factor $a > 0$ and one constant $b$ for the whole image, or both. No file name and no checksum tells. All the
# photographs show the same product, so they resemble each other anyway.
#
# Which test images are training images again? Nobody tells you how to compare them.


# %% tags=["exercise", "answer-4"]
def same_photograph(train_images, test_images):
    """Positions of test images; the images are uint8 arrays (n, height, width)."""

    # BEGIN SOLUTION
    # HINT: What of an image do a factor and a constant leave as it is? And what does a mirror?
    # HINT: Bring each image to mean 0 and standard deviation 1: then a * p + b and p are the same.
    # HINT: Compare each test image with each training image and its mirror image, [:, :, ::-1], by correlation.
    def standardised(images):
        flat = images.reshape(len(images), -1).astype(float)
        return (flat - flat.mean(axis=1, keepdims=True)) / flat.std(axis=1, keepdims=True)

    both = np.concatenate([train_images, train_images[:, :, ::-1]])
    correlation = standardised(test_images) @ standardised(both).T / train_images[0].size
    return np.flatnonzero(correlation.max(axis=1) > 0.95)
    # END SOLUTION


# %% tags=["exercise", "check-4"]
# NBVAL_CHECK_OUTPUT
checks.same_photograph(same_photograph)

# %% [markdown] tags=["exercise"]
# ### Exercise 5 (level 1). Figures of your own
#
# `hw3 start --student` gives every student other bottles, so nobody else has your figures. Count the defective pixels
# of the masks of exercise 2 (each has 256 x 256 pixels, `area` is a share of them): of `all` masks together, of all
# masks of `contamination`, and of the `largest` mask. Write a dict of these three numbers.

# %% tags=["exercise", "answer-5"]
# BEGIN SOLUTION: figures
# HINT: `area` is a share of the image: how many pixels has an image, and how many of them are defective?
# HINT: pixels = defects["area"] * 256**2 has the defective pixels of each mask.
# HINT: Sum them, sum those of the rows of contamination, take the largest: {"all": ..., "contamination": ..., ...}.
pixels = defects["area"] * 256**2
of_contamination = pixels[defects["defect"] == "contamination"]
figures = {"all": pixels.sum(), "contamination": of_contamination.sum(), "largest": pixels.max()}
# END SOLUTION

# %% tags=["exercise", "check-5"]
# NBVAL_CHECK_OUTPUT
checks.own_figures(figures, course)

# %% [markdown]
# **More to try.** Put twenty pictures into `data/mine/good/` and ten into `data/mine/<defect>/` and run this notebook
# with `category = "mine"`.

# %% [markdown]
# ## What to remember
#
# A category is a table of images with split, class and mask. Training holds good products only; defects are few, small
# and come in types. Working size decides whether they are visible at all. Check a data set before you count it: a leak
# or a wrong mask spoils every number that follows.
#
# **Next:** `02_improvement_attempts` trains a classifier of the defect types and tries to improve it in four ways.
