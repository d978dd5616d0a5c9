# ---
# jupyter:
#   hw3lib:
#     thumbnail: compared
#     reads: ["01", "02", "03", "04", "05", "07"]
#     files:
#       - metrics.json
#       - report.pdf
#       - report.html
#       - report.json
#       - compared.csv
#       - predictions.csv
#       - figures/pages.png
#       - figures/compared.png
#       - figures/predictions.png
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
# # 6. The report
#
# *Under half a minute; the work was done in the notebooks before.*
#
# The assignment asks five questions and allows three pages. This notebook answers them from what your run measured.
#
# After this notebook you can
#
# - **build** a report of at most three pages from the files of a run;
# - **trace** a printed number back to the file that it came from;
# - **compare** your attempts with those of four students, with confidence intervals;
# - **say** what is missing instead of inventing it.

# %% tags=["parameters"]
category = "synthetic/bottle"  # any category of MVTec AD, a generated one, or a folder of your own
data = None  # folder that holds the category; None looks in HW3_DATA and data/
profile = "quick"  # "quick" or "full"
out = None  # results folder; None is runs/interactive/06
seed = 0  # nothing is drawn here; all notebooks have one
run: str | None = (
    None  # name or folder of the run to report; None: this one, or the newest complete one of the category
)

# %% tags=["setup"]
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Image

from hw3lib import RunFolder, report
from hw3lib.classify import compared, verdicts
from hw3lib.core import atomic_path, drawn_language, here, say
from hw3lib.course import checks, outcome, predict, predictions
from hw3lib.data import get, load_table
from hw3lib.report import Run, stacked
from hw3lib.views import plots, tables

plt.rcParams["figure.dpi"] = 72

# %% [markdown]
# ## Which run?
#
# Notebooks 01 to 05, and 07, leave `metrics.json`, tables and figures in `runs/<name>/01` and so on. The report reads
# these files and nothing else: no image, no network, nothing that is still in memory. What is not there cannot be in
# it. `hw3 run` executes 07 before this one.

# %%
table = load_table(get(category, data, profile=profile, progress=False), category)
results = RunFolder("06", table, profile, out)
folder = report.chosen_run(run, out, category)
there = [n for n in report.MEASURED if (folder / n / "metrics.json").is_file()]
missing = [n for n in report.MEASURED if n not in there]
say(f"run {folder.resolve().name}: {', '.join(there) or 'nothing'} measured")
if missing:
    say(f"to measure the rest: hw3 run {' '.join(missing)} --category {category}, or open those notebooks and run them")

# %% [markdown]
# ## Build it
#
# **Predict first**: how many pages will it take? The limits are 150 words for questions 2, 3 and 5 and 100 for
# question 4; tables and captions do not count.

# %%
predict("pages of the report", ..., ..., among=["1", "2", "3"])

# %%
# NBVAL_CHECK_OUTPUT
language = drawn_language(here())
made = report.build(folder, results.folder, dpi=85, category=category, language=language) if there else None
words = made.words if made else {}
limits = made.limits if made else {}
say("at most three pages:", made is None or made.pages <= 3)
say("within the words allowed:", all(words[number] <= limit for number, limit in limits.items()))

# %%
outcome("pages of the report", str(made.pages) if made else None)
for number, count in words.items():
    allowed = f" of {limits[number]}" if number in limits else ""
    say(f"question {number}: {count} words{allowed}")
for what in made.missing if made else missing:
    say(f"missing: {what}", width=100)
for note in made.notes if made else []:
    say(f"note: {note}", width=100)

# %% [markdown]
# ## The pages
#
# `report.pdf` is to hand in. `report.html` is the same for a screen: point at a number there and it says where it came
# from.

# %%
picture = stacked(made.pictures) if made else None
with atomic_path(results.folder / "figures" / "pages.png") as path:
    if picture:
        path.write_bytes(picture)
    else:
        plots.nothing("nothing was measured yet").savefig(path)
        plt.close()
Image(data=picture, width=700) if picture else None

# %% [markdown]
# ## Where does a number come from?
#
# `report.json` lists every printed value with its file, its place in it (a JSON pointer) and how it was rounded. So
# anybody can check the report without believing it. Here are the values in the row of the best attempt.

# %%
numbers = pd.DataFrame(made.numbers if made else [], columns=["printed", "value", "file", "pointer", "scale", "spec"])
board = numbers[numbers["pointer"].str.startswith("/leaderboard/0/")].drop_duplicates(["pointer", "spec"])
board.set_index("pointer")[["printed", "value", "scale", "spec", "file"]]

# %% [markdown]
# Now check all of them: read each file again, go to the place, round, and compare.

# %%
# NBVAL_CHECK_OUTPUT
reader = Run(folder) if there else None
wrong = sum(not reader.agrees(row) for row in (made.numbers if made else []))
say("numbers that differ from their file:", wrong)

# %% [markdown]
# ## Beside the four reports
#
# Four students answered the same assignment, on carpet, wood, bottle and capsule. Each tested on one split of 8 to 26
# images, where one image is worth 4 to 12 points. Their intervals are Wilson's, for that many images; yours is over
# repeated splits. **Predict first**: in how many of the four is the best attempt clear of the baseline?

# %%
predict("reports whose best attempt is clear of the baseline", ..., ..., among=list("01234"))

# %%
measured = "02" in there
comparison = compared(reader.metrics["02"]) if measured else pd.DataFrame()
tables.shown(results.table(comparison, "compared"))

# %%
results.figure(
    plots.student_reports.intervals(comparison) if measured else plots.nothing("run notebook 02 first"), "compared"
)

# %%
say(verdicts(comparison) if measured else "run notebook 02 first")
ends = comparison.iloc[:8].pivot(index="source", columns="row", values=["low", "high"]) if measured else None
outcome(
    "reports whose best attempt is clear of the baseline",
    str((ends["low", "best"] > ends["high", "baseline"]).sum()) if measured else None,
)

# %% [markdown]
# The categories differ, so the heights of the dots cannot be compared: capsule is harder than bottle. What can be
# compared is how much each experiment could have shown. Intervals that overlap do not prove that nothing helped, but a
# table that gives only percentages hides that they do.
#
# ## How well did you predict?
#
# Every prediction of this course that has met its result. Who is calibrated is right in 80 % of what is said with 80 %
# confidence, as an interval of 95 % holds in 95 %: then the points lie on the diagonal.

# %%
mine = results.table(predictions.judged(), "predictions")
say(predictions.describe(mine), width=100)
mine.drop(columns="time")

# %%
results.figure(plots.classify.reliability(predictions.calibration(mine)), "predictions")

# %%
results.metrics(pages=made.pages if made else 0, words=words, missing=made.missing if made else missing)

# %% [markdown]
# ## Checkpoint
#
# - A report prints 74.7 %. Where do you look for the file that holds the number, and for the digits that were left out?
# - Why does the report refuse a run whose notebooks were executed on different images?
# - A chapter is missing. Why is a line that says so better than a paragraph without numbers?
# - What would you leave out first, if the pages did not suffice?
#
# ## Exercises
#
# Each has a check that answers at once. They are in `exercises/ex06_report.ipynb` to be solved; here the answers are
# folded away.

# %% [markdown] tags=["exercise"]
# ### Exercise 1 (level 1). Fill in: do two intervals overlap?
#
# A report gives 53 to 98 %, yours 65 to 84 %. Write what decides for any two intervals $[a, b]$ and $[c, d]$ whether
# they have a point in common. Touching counts.


# %% tags=["exercise", "answer-1"]
def intervals_agree(low, high, other_low, other_high):
    """True if they have a point in common."""
    # BEGIN SOLUTION
    # HINT: When have two intervals no point in common?
    # HINT: When one of them is wholly to the left of the other. There are two ways; neither may be.
    # HINT: The first begins before the second ends, and the second begins before the first ends.
    return low <= other_high and other_low <= high
    # END SOLUTION


# %% tags=["exercise", "check-1"]
# NBVAL_CHECK_OUTPUT
checks.intervals_agree(intervals_agree)

# %% [markdown] tags=["exercise"]
# ### Exercise 2 (level 1). Predict, then measure: what is one image worth?
#
# The four reports tested on 22 (carpet), 26 (wood), 8 (bottle) and 24 (capsule) images. By how many percentage points
# does one more right image raise the accuracy? Guess the points of carpet first. Then write what computes them for any
# number of images, to one decimal or more exactly.

# %% tags=["exercise"]
predict("points that one test image of carpet is worth", (..., ...), ...)


# %% tags=["exercise", "answer-2"]
def points_an_image(images):
    """Percentage points that one of so many test images is worth."""
    # BEGIN SOLUTION
    # HINT: Of 8 images 7 are right, then 8. What was the accuracy before, and what is it now?
    # HINT: One image is one n-th of all; as percentage points that is a hundred times as much.
    # HINT: A hundred over the number of images.
    return 100 / images
    # END SOLUTION


# %% tags=["exercise", "check-2"]
# NBVAL_CHECK_OUTPUT
checks.points_an_image(points_an_image)
outcome("points that one test image of carpet is worth", points_an_image(22))

# %% [markdown] tags=["exercise"]
# ### Exercise 3 (level 2). Find the planted bug: a report that is too good
#
# ```python
# def accuracy_to_report(accuracies):
#     return max(accuracies)
# ```
#
# `accuracies` are those of one attempt on several splits. Whoever tries more splits reports more. Repair it.


# %% tags=["exercise", "answer-3"]
def accuracy_to_report(accuracies):
    """One number for an array of them."""
    # BEGIN SOLUTION
    # HINT: Draw five numbers at random, then fifty. Which of mean and maximum grows?
    # HINT: Report a number that more splits make more certain, not higher, and in which each split counts alike.
    # HINT: accuracies is an array: it has a method mean().
    return accuracies.mean()
    # END SOLUTION


# %% tags=["exercise", "check-3"]
# NBVAL_CHECK_OUTPUT
checks.honest_summary(accuracy_to_report)

# %% [markdown] tags=["exercise"]
# ### Exercise 4 (level 3). A stranger's table
#
# A colleague sends this table, all intervals 95 %, the gains paired on the same splits, and four claims with it.
#
# | method | accuracy | gain over the baseline, points | chosen on |
# |---|---|---|---|
# | baseline | 71 % (60 to 80) | | |
# | A, larger images | 78 % (68 to 86) | +7 (+2 to +12) | validation images |
# | B, a deeper network | 74 % (63 to 83) | +3 (−2 to +8) | validation images |
# | C, the best of forty settings | 83 % (73 to 90) | +12 (+6 to +18) | test images |
#
# 1. A helps. 2. B makes no difference. 3. C will be as good on new products as in the table. 4. A will be as good on
# new products as its interval says.
#
# Write a letter of 40 to 250 words: which claims do not follow, why, and what would have to be done to know? Then write
# the rule for any such row and the claims `"helps"`, `"hurts"`, `"makes no difference"` and
# `"will be as good on new products"`.
#
# **Rubric**, a point each; your teacher gives them, no program can:
#
# - names the claims that do not follow, and no other;
# - for each says what else would explain the same row;
# - says what would have to be done to know, and what it would cost;
# - is kind, and can be understood by somebody who has never heard of a confidence interval.


# %% tags=["exercise", "answer-4"]
# BEGIN SOLUTION: letter
letter = (
    "Dear colleague, two of your claims do not follow. That B makes no difference: its interval runs from two points "
    "worse to eight better, so it may well help; these splits cannot tell, and about four times as many test images "
    "would halve the interval. That C will be as good on new products: it was the best of forty on the images that "
    "judge it, and chance favoured some of the forty there. Choose it again on validation images, or test it once on "
    "photographs that nobody has used. Claims one and four do follow."
)
# END SOLUTION


def follows(claim, row):
    """True or False; ``row`` has accuracy, low, high, gain, gain_low, gain_high and chosen_on."""
    # BEGIN SOLUTION
    # HINT: For which of the four claims can no interval, however narrow, be enough?
    # HINT: A gain is shown where its whole interval is above zero; no difference is never shown by a row like this.
    # HINT: The last claim depends on row["chosen_on"] alone, "validation images" or "test images".
    rules = {
        "helps": row["gain_low"] > 0,
        "hurts": row["gain_high"] < 0,
        "will be as good on new products": row["chosen_on"] == "validation images",
    }
    return rules.get(claim, False)
    # END SOLUTION


# %% tags=["exercise", "check-4"]
# NBVAL_CHECK_OUTPUT
checks.claims(letter, follows)

# %% [markdown]
# **More to try.** Copy your run's folder, change one accuracy in `02/metrics.json` of the copy, and build its report
# with `hw3 report COPY`: where does the change show, and where does it not? Delete one figure: what does the report
# say?

# %% [markdown]
# ## What to remember
#
# A report is a view of files: build it again and it is the same, change a result and it changes. Every number carries
# its source, every accuracy its interval, and what was not measured is named. What a figure is worth is said by how it
# was measured, so a reader must be able to find that.
#
# **Next:** hand it in, or start again with your own photographs: `hw3 run --category FOLDER`.
