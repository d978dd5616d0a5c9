# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Capstone: your own photographs
#
# Photograph something that is made again and again: bottle caps, biscuits, screws, printed labels. Thirty good ones and
# fifteen with a defect are enough to begin with, one folder a class (`data/mine/good/`, `data/mine/bent/`). Then answer
# a question that somebody who makes it would ask. All of the course is at your disposal, `hw3lib` too.
#
# Three parts. The check below each looks at its form: that it is there, runs, draws, and gives intervals;
# `checks.hint()` then gives the next of three hints on that part. What it is worth your teacher says, by the rubrics.
# `hw3 grade` runs your code on the generated bottle, since it does not have your photographs: write it for any
# category. Hand in the notebook with its figures.

# %% tags=["parameters"]
photographs = "synthetic/bottle"  # your folder: the name of one in data/, or a path
data = None  # folder that holds it; None looks in HW3_DATA and data/

# %% tags=["setup"]

from hw3lib.course import checks
from hw3lib.data import check_category, get, load_table

table = load_table(get(photographs, data, profile="quick", progress=False), photographs)
print(check_category(table).summary())

# %% [markdown]
# ## 1. The question
#
# In 40 to 200 words: what is made, which defects occur, how often (or how you would find out), what a missed defect and
# a false alarm cost, and which number will decide your question.
#
# **Rubric**, a point each:
#
# - the question can be answered by a number, and it is said which number would be good enough;
# - missed defects and false alarms have costs, with a reason for their size;
# - how products were drawn and photographed, and what differs between classes besides the defect (light, day, place).

# %% tags=["answer-1"]
question = ...  # a text, in quotation marks

# %% tags=["check-1"]
checks.capstone_question(question)

# %% [markdown]
# ## 2. The inspection
#
# A function of the table that gives a dict of at least three matplotlib figures by name, and a dict of at least two
# results by name, each `(value, low, high)` with the limits of its 95 % interval. Each figure shows something that your
# report uses: what you have, what came out, where it fails.
#
# **Rubric**, a point each:
#
# - the split keeps photographs of one product together, and nothing of the test part chooses anything;
# - there is a baseline that costs nothing, and the gain over it is paired;
# - the threshold or the decision follows from the costs of part 1, or from a promise, not from the test images;
# - the intervals fit the design (repeated splits that overlap, or independent ones);
# - one figure shows failures, and they were looked at.


# %% tags=["answer-2"]
def inspect(table):
    """``figures, results``: two dicts by name."""
    raise NotImplementedError


# %% tags=["check-2"]
checks.capstone_inspection(inspect, table)

# %% [markdown]
# ## 3. The report
#
# In 300 to 900 words, for the person who asked: the answer first, with its interval; what was measured and how; what it
# costs; where it fails; what would have to be known to be surer. Each result is a value and its two limits.
#
# **Rubric**, a point each:
#
# - the answer is in the first two sentences, and its interval beside it;
# - every claim follows from a result; what is not significant is not called equal, nor better;
# - failures are shown, with what they have in common;
# - it says where it will not hold: other light, another supplier, a defect that was never photographed;
# - it says what to do next, and what that would cost;
# - somebody who has not taken this course understands it.

# %% tags=["answer-3"]
report = ...  # a text, in quotation marks

# %% tags=["check-3"]
checks.capstone_report(report)
