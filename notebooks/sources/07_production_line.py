# ---
# jupyter:
#   hw3lib:
#     thumbnail: scores
#     files:
#       - metrics.json
#       - photographs.csv
#       - stopped.csv
#       - card.html
#       - card.pdf
#       - figures/line.png
#       - figures/scores.png
#       - figures/evidence.png
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
# # 7. A production line
#
# *About a minute and a half in the quick profile on two cores.*
#
# A detector that was good on a test set is not yet an inspection. On the line a person answers for what it stops, a
# defect comes that nobody has labelled, and one day the lamp grows old. Here is a line that is simulated, so that the
# truth is known; every step is a function behind a command of `hw3 inspect`.
#
# After this notebook you can
#
# - **fit** an inspector, and say what it promises of false alarms and of the types that it names;
# - **answer** for the photographs that teach most, and let the inspector learn from them unless that makes it worse;
# - **tell** a defect that is new from one that is known, and say how often that succeeds;
# - **watch** for drift, with a stated time between false alarms, long before good products are stopped;
# - **write** the card of an inspector: what it learned from, what was measured, what it must miss.

# %% tags=["parameters"]
category = "synthetic/bottle"  # any category of MVTec AD, a generated one, or a folder of your own
data = None  # folder that holds the category; None looks in HW3_DATA and data/
profile = "quick"  # "quick" or "full"
out = None  # results folder; None is runs/interactive/07
seed = 0
image_size = 224
false_alarm_rate = 0.05  # share of good products that may be stopped
unseen: str | None = None  # type of defect that comes along the line alone; None: the last one by name
mean_time = 10_000  # photographs between false alarms of drift, at least

# %% tags=["setup"]
from hw3lib.core import machine, say

machine.prepare()  # as `hw3 run` does, before PyTorch is loaded: on a busy machine its threads wait without spinning

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hw3lib import Hw3Error, RunFolder
from hw3lib.core import wilson_interval
from hw3lib.course import checks, outcome, predict
from hw3lib.data import get, load_table, production_line
from hw3lib.inspection import card, corrections, fit, inspector, monitor, score
from hw3lib.networks import pick_device
from hw3lib.views import plots, tables

plt.rcParams["figure.dpi"] = 72

# %% [markdown]
# ## The line
#
# Products of a generated category are painted for the line, so that none was seen before. Of a real category it takes
# the test photographs again and again, each moved a little and lit a little otherwise, and half of the labelled
# defects; the other half is known before. One product in ten has a defect. One type of defect is *unseen*: no labelled
# photograph shows it. After two thirds of the photographs the lamp begins to age: at the last one it gives 70 % of its
# light, and is yellower.

# %% tags=["setup"]
# NBVAL_CHECK_OUTPUT
root = get(category, data, profile=profile, progress=False)
table = load_table(root, category)
run = RunFolder("07", table, profile, out, seeds={"line": seed}, device=pick_device().type)
run.announce()  # what is left out, for want of which images
length = {"quick": 300, "full": 1000}[profile]
shift, ages_from = length // 3, 2 * length // 3
say(f"{length} photographs; the lamp ages from number {ages_from + 1} on")

# %%
work = TemporaryDirectory(ignore_cleanup_errors=True)  # photographs, inspector and answers, until the notebook ends
place = Path(work.name)
line = production_line(table, place, length=length, ages_from=ages_from, unseen=unseen, seed=seed)
photographs = line.photographs
say(f"never labelled: {line.unseen}")
photographs["defect"].value_counts().to_dict()

# %%
run.figure(plots.inspection.line(photographs), "line")

# %% [markdown]
# **Why** nobody at the line sees the lamp age: each photograph is a fraction of a per cent darker than the one before,
# and the eye takes the light of a whole picture for granted. A detector compares pixels with remembered ones.
#
# ## Fit
#
# An inspector is a folder: a detector that learned from good products (chapter 04), a classifier of the labelled
# defects (chapter 02), and what is plausible for a photograph of this product. Each comes with a promise.

# %%
detector = fit.fit(
    line.known,
    place / "inspector",
    settings={"image_size": image_size, "seed": seed},
    false_alarm_rate=false_alarm_rate,
    types=True,
    echo=lambda text: None,
)
known = inspector.Inspector(place / "inspector")
say(str(detector.thresholds_), width=100)
say(known.types.promise() if known.types else "No labelled defects are known, so no type is named.", width=100)

# %% [markdown]
# ## The first shift
#
# The first third of the line, in the light that the inspector knows. **Predict first**: what does it say of most
# stopped products with the defect that nobody has labelled?


# %%
def inspect(part, name):
    score.score(place / "inspector", list(part["file"]), place / name, regions="csv", echo=lambda text: None)
    return part.merge(monitor.read_results(place / name).drop(columns="warning"), on="file")


sayings = ["one known type", "several known types", "none of the known types"]
asked = sayings if line.unseen else []
predict("what is said of most stopped products with the unseen defect", ..., ..., among=asked)

# %%
first = inspect(photographs[:shift], "first")
say(f"{first['anomalous'].sum()} of {len(first)} stopped")
pd.crosstab(first["defect"], first["anomalous"].map({False: "passed", True: "stopped"}))

# %% [markdown]
# ## Answers
#
# A person now says what the photographs show. Whoever answers has little time, so those are asked about that were
# stopped, and then those of which it is least certain on which side of the threshold they belong. On a line it is a
# page with a key for each answer, `hw3 inspect review`; here the masks answer.

# %%
store = corrections.answers.Store(place / "answers.sqlite")
_, queue = corrections.review.queue([place / "first"], store)
stopped = first.loc[first["anomalous"], "file"]
truth = photographs.set_index("file")
for file in dict.fromkeys([*stopped, *queue[: shift // 3]]):
    defect = truth.loc[file, "defect"]
    name = "" if defect in ("good", line.unseen) else defect  # nobody has a name for what is new
    store.answer(file, "good" if defect == "good" else "defect", name)
given = pd.Series([answer.answer for answer in store.answers().values()]).value_counts()
say(f"{given.sum()} of {shift} answered: {given.to_dict()}")

# %% [markdown]
# ## Learn on
#
# Photographs that were confirmed to be good join the memory and the threshold's scores, without a new fit, and defects
# that were named join the types. But who says that this is better? Three in ten answers teach nothing, ever: they
# compare the version before with the one after, and a version that is worse beyond chance (McNemar's exact test) is not
# taken. On the line of a real category the same products come along again, so that what it gains there is more than on
# new ones.

# %%
said: list[str] = []
try:
    version = corrections.update.update(place / "inspector", place / "answers.sqlite", echo=said.append)
except Hw3Error as error:  # nothing to learn from, or worse beyond chance: the inspector stays as it was
    said, version = [*said, str(error).split(": ", 1)[-1], ""], 1
say(" | ".join(said[:-1]), width=100)
say(f"version {version} is in use")

# %% [markdown]
# ## The other shifts
#
# The lamp ages from the middle of these on. **Predict first**: how many photographs later will the monitor notice?

# %%
predict("photographs from the first dimmer one to the alarm", (..., ...), ...)

# %%
rest = inspect(photographs[shift:], "rest")
every = run.table(pd.concat([first, rest]).drop(columns=["file", "reason"]), "photographs")
run.figure(plots.inspection.scores(every, line.unseen), "scores")

# %% [markdown]
# **Why** scores can rise before anything is stopped: the threshold lies above what good products showed in good light,
# and the first per cent of light lost is less than what distinguishes two products. **Why** they need not rise at all:
# where good products differ much in light, as pieces of carpet do, a darker one lies among those that are remembered.
#
# What was said of the defects, in all shifts, and how much of each type was stopped:

# %%
bad = every[every["is_defect"]]
rows = [
    {"defect": name, "photographs": len(each), "stopped": int(each.sum())}
    | wilson_interval(int(each.sum()), len(each)).columns("recall")
    for name, each in bad.groupby("defect")["anomalous"]
]
found = run.table(pd.DataFrame(rows), "stopped")
tables.shown(found)

# %%
told = bad.loc[bad["anomalous"], ["defect", "types"]].fillna("no type is named")
pd.crosstab(told["defect"], told["types"].str.replace("|", " or "))

# %%
new = told.loc[told["defect"] == line.unseen, "types"]
kinds = new.map(lambda names: sayings[2] if names == "new" else sayings[min(names.count("|"), 1)])
outcome("what is said of most stopped products with the unseen defect", kinds.value_counts() if len(kinds) else None)

# %% [markdown]
# A conformal set leaves the right type out of at most one set in ten, so an empty one is a statement: this is unlike
# every labelled defect. It is no proof. A known type in odd light, or a very small one, has an empty set too, and a new
# defect that looks like a known one has a set that names it.
#
# ## Drift by hand
#
# False alarms tell of drift when it is too late: products were stopped. What passes tells sooner, because it has
# changed as well. For either the question is the same: how much likelier are the photographs since number $s$, whatever
# $s$ is, if something changed then? Each new photograph multiplies that by its likelihood ratio $L$, and begins one
# more sum:
#
# $$R_t = (1 + R_{t-1}) \, L_t$$
#
# While nothing changes $R_t - t$ is a martingale, so $R$ reaches $c$ after $c$ photographs on average, or later
# ([Shiryaev 1963; Vovk et al. 2021](https://arxiv.org/abs/2102.10439)). Try it: stops at their usual rate of one in
# five, an alarm at $R = 100$.


# %%
# NBVAL_CHECK_OUTPUT
def evidence(is_stopped, usual=0.2, more=0.4):
    level, levels = 0.0, []
    for ratio in np.where(is_stopped, more / usual, (1 - more) / (1 - usual)):
        level = (1 + level) * ratio
        levels.append(level)
    return np.array(levels)


rng = np.random.default_rng(seed)
times = [np.argmax(evidence(rng.random(4000) < 0.2) >= 100) + 1 for _ in range(200)]
say("100 photographs or more to a false alarm, on average:", bool(np.mean(times) >= 100))

# %% [markdown]
# The monitor does the same with what passes: a score, a brightness, a colour and a sharpness become the share of
# photographs before it that were lower. As long as nothing changes that is uniform, whatever the product; after a
# change it is not. `hw3 inspect monitor` is this, over folders of results.

# %%
steady = ages_from - shift  # photographs of these shifts before the lamp ages
watched = monitor.monitor(place / "inspector", [place / "rest"], usual=0.2, mean_time=mean_time, echo=lambda text: None)
levels = {"what passes": watched.levels, "stopped products alone": evidence(rest["anomalous"])}
over = {name: np.flatnonzero(each >= mean_time) + 1 - steady for name, each in levels.items()}
alarms = {name: int(late[0]) if len(late) else None for name, late in over.items()}
say(watched.said, width=100)
say("photographs from the first dimmer one to the alarm:", alarms)
run.figure(plots.inspection.evidence(levels, mean_time, shift, ages_from), "evidence")
outcome("photographs from the first dimmer one to the alarm", alarms["what passes"])

# %% [markdown]
# **Why** the level falls back while nothing changes: most photographs are likelier without a change, and each takes
# some of the evidence away. **Why** what passes tells sooner: a mean of many small changes is seen before the first of
# them is large enough to cross a threshold. A negative number would be a false alarm, before the lamp aged; at
# 10,000 photographs between two of them that is rare, and possible.
#
# What to do then? Not to let the inspector learn from dark photographs: it would take them for normal. Change the lamp.
#
# ## The card
#
# Whoever gets the inspector gets a page with it: what it learned from, what it promises, what was measured on labelled
# photographs and in other light, and what it must miss. Here on the test images of the category.

# %%
files = card.card(place / "inspector", run.folder / "card.html", table.attrs["folder"], echo=lambda text: None)
say("written:", ", ".join(file.name for file in files))

# %%
light = photographs["light"].iloc[ages_from + alarms["what passes"] - 1] if alarms["what passes"] else None
run.metrics(
    line=found,
    photographs=length,
    false_alarms=int((first["anomalous"] & ~first["is_defect"]).sum()),
    good=int((~first["is_defect"]).sum()),
    unseen={"type": line.unseen, "stopped": len(kinds), "new": int((kinds == sayings[2]).sum())},
    update={"version": version, "answers": int(given.sum()), "said": said[:-1]},
    drift={"alarm": alarms["what passes"], "stopped_alone": alarms["stopped products alone"], "light": light},
)

# %% [markdown]
# The same on your own photographs, without a notebook:
#
# ```
# hw3 inspect fit FOLDER --out inspector
# hw3 inspect score inspector PHOTOGRAPHS --out results
# hw3 inspect review inspector results
# hw3 inspect update inspector
# hw3 inspect monitor inspector results
# hw3 inspect card inspector --on CATEGORY
# ```
#
# ## Checkpoint
#
# - An inspector may stop 5 % of good products, and stopped 9 % this week. Which three things do you look at first?
# - Why may a photograph that has taught the inspector never judge it?
# - A set of types is empty. Name two reasons besides a new kind of defect.
# - The monitor says that the colour has changed, and nothing is stopped. What do you do, and what do you not do?
#
# ## Exercises
#
# Each has a check that answers at once. They are in `exercises/ex07_production_line.ipynb` to be solved; here the
# answers are folded away.

# %% [markdown] tags=["exercise"]
# ### Exercise 1 (level 1). Predict, then measure: how often does the monitor cry wolf?
#
# Nothing changes, and there is one false alarm in `mean_time` photographs on average. A line takes 4,000 photographs a
# day, 250 days a year, with 10,000 photographs between false alarms. Guess how many false alarms there are in a year.
# Then write what computes them for any line.

# %% tags=["exercise"]
predict("false alarms of drift in a year of 4,000 photographs a day", (..., ...), ...)


# %% tags=["exercise", "answer-1"]
def false_drift_alarms(photographs_a_day, days, mean_time):
    """Their expected number."""
    # BEGIN SOLUTION
    # HINT: How many photographs are there in all?
    # HINT: In mean_time photographs there is one alarm. How many times do so many photographs fit in?
    # HINT: Photographs a day times days, over mean_time. It need not be a whole number.
    return photographs_a_day * days / mean_time
    # END SOLUTION


# %% tags=["exercise", "check-1"]
# NBVAL_CHECK_OUTPUT
checks.false_drift_alarms(false_drift_alarms)
outcome("false alarms of drift in a year of 4,000 photographs a day", false_drift_alarms(4000, 250, 10_000))

# %% [markdown] tags=["exercise"]
# ### Exercise 2 (level 2). Fill in: which types may it be?
#
# `labelled` says for each type how typical of it its $n$ labelled defects are, `{"crack": [0.7, 0.9], ...}`, and `new`
# how typical of each type the new defect would be. Higher is more typical. The p-value of a type is the share of its
# defects that are at most as typical as the new one, the new one counted among the $n + 1$. The set holds each type
# whose p-value is above `error`, and no other, in the order of the alphabet. It may be empty: then the defect is new.


# %% tags=["exercise", "answer-2"]
def type_set(labelled, new, error):
    """A list of names."""
    # BEGIN SOLUTION
    # HINT: Take one type by itself. How many of its labelled defects are as strange as the new one, or stranger?
    # HINT: The new one counts too, above the line and below it: (how many + 1) / (n + 1).
    # HINT: Go through sorted(labelled), and keep the names whose p-value is above error.
    names = []
    for name in sorted(labelled):
        strange = sum(value <= new[name] for value in labelled[name])
        if (strange + 1) / (len(labelled[name]) + 1) > error:
            names.append(name)
    return names
    # END SOLUTION


# %% tags=["exercise", "check-2"]
# NBVAL_CHECK_OUTPUT
checks.type_set(type_set)

# %% [markdown] tags=["exercise"]
# ### Exercise 3 (level 2). Find the planted bug: a judge who was taught
#
# ```python
# def judges(digests, share):
#     return digests[: int(share * len(digests))]
# ```
#
# `digests` name the answered photographs, in the order of the answers: each is the SHA-256 of a file, 64 hexadecimal
# digits, as random as drawn ones. About the given share of them is to judge and must not teach. Next week there are
# more answers, some of them earlier in the list, and the function is asked again: photographs that taught the inspector
# now judge it. Repair it, so that the side of a photograph depends on that photograph alone.


# %% tags=["exercise", "answer-3"]
def judges(digests, share):
    """Those of the digests that judge, in their order."""
    # BEGIN SOLUTION
    # HINT: What do you know of a photograph that is the same next week, whoever else has been asked about?
    # HINT: int(digest[:8], 16) is a whole number that is drawn evenly from 0 to 16**8 - 1.
    # HINT: A digest judges if that number is below share * 16**8.
    return [digest for digest in digests if int(digest[:8], 16) < share * 16**8]
    # END SOLUTION


# %% tags=["exercise", "check-3"]
# NBVAL_CHECK_OUTPUT
checks.judges(judges)

# %% [markdown] tags=["exercise"]
# ### Exercise 4 (level 3). An alarm of your own
#
# Each photograph of a line gives one number $z$, which is standard normal while nothing changes. When the lamp ages its
# mean rises, by 0.03 from photograph to photograph. Write a step: from the `levels` of many lines, an array that begins
# with zeros, and their next numbers `z`, an array of the same shape, the next levels. The check sets the limit: the one
# that a tenth of the lines exceed in 400 photographs without any change. Then the lamp ages. On average your alarm must
# come in at most three quarters of the photographs that the plainest rule takes, `return z`, which looks at the last
# photograph alone.


# %% tags=["exercise", "answer-4"]
def step(levels, z):
    """The next levels, an array of the same shape."""
    # BEGIN SOLUTION
    # HINT: One number that is a little high says nothing. What says more: how high the last one is, or how many are?
    # HINT: Add them up, but let the sum forget: what is usual takes a little away, and it does not fall below zero.
    # HINT: np.maximum(0, levels + z - 0.5) is Page's CUSUM; R of this chapter is another answer.
    return np.maximum(0, levels + z - 0.5)
    # END SOLUTION


# %% tags=["exercise", "check-4"]
# NBVAL_CHECK_OUTPUT
checks.drift_alarm(step)

# %% [markdown]
# **More to try.** Let the inspector learn from dark photographs and monitor again: what is its threshold then, and
# which defects does it miss? Name another `unseen` type: which are said to be new, and which pass for a known one?

# %% [markdown]
# ## What to remember
#
# An inspector is never finished: it stops, a person answers, it learns on, and what judges it never teaches it. What
# it says of types is a set, and an empty one is an answer. Drift shows in what passes, often dozens of photographs
# before it shows in what is stopped, and the time between false alarms is chosen beforehand.
#
# **Next:** `06_report` reads this run, too; or begin with photographs of your own: `hw3 inspect fit FOLDER`.
