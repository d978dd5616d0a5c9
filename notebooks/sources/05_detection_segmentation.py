# ---
# jupyter:
#   hw3lib:
#     thumbnail: segmentations
#     files:
#       - metrics.json
#       - formats.csv
#       - segmentation.csv
#       - detection.csv
#       - figures/formats.png
#       - figures/segmentations.png
#       - figures/segmentation_curve.png
#       - figures/detections.png
#       - figures/detection_curve.png
#       - annotations/summary.json
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
# # 5. Detection and segmentation
#
# *About four minutes in the quick profile on two cores with the weights of SAM and YOLO, two without.*
#
# Assignment question 5: which data must be prepared for general models such as YOLO-World and SAM, and why do they suit
# fine-tuning on a data set of one's own?
#
# After this notebook you can
#
# - **turn** masks into instances, and instances into every format that a detector or segmenter reads;
# - **tell** what a format cannot hold, and count what is lost;
# - **fine-tune** SAM's decoder on a handful of images, its embeddings computed once;
# - **measure** a detector by mAP and a segmenter by IoU, before and after, on the same images;
# - **annotate** without masks: anomaly map to box to SAM, then a person corrects.

# %% tags=["parameters"]
category = "synthetic/bottle"  # any category of MVTec AD, a generated one, or a folder of your own
data = None  # folder that holds the category; None looks in HW3_DATA and data/
profile = "quick"  # "quick" or "full"
out = None  # results folder; None is runs/interactive/05
seed = 0
min_area = 5  # pixels; smaller components of a mask are dropped, and counted
n_train = 10  # defective images that SAM learns from; in the full profile 20

# %% tags=["setup"]
from hw3lib.core import machine, say

machine.prepare()  # as `hw3 run` does, before PyTorch is loaded: on a busy machine its threads wait without spinning

import json
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import ndimage

from hw3lib import RunFolder, annotate
from hw3lib.course import checks, outcome, predict
from hw3lib.data import get, load_table, read_mask
from hw3lib.networks import pick_device
from hw3lib.views import plots, tables, widgets

plt.rcParams["figure.dpi"] = 72

# %% tags=["setup"]
# NBVAL_CHECK_OUTPUT
root = get(category, data, profile=profile, progress=False)
table = load_table(root, category)
run = RunFolder("05", table, profile, out, seeds={"splits": seed, "training": seed}, device=pick_device().type)
# What cannot be measured on this category or machine is left out, and said: once here, and where it would stand.
run.announce()
study = annotate.Measurement(table, seed, min_area, end=run.end)
defective = study.defective

# %% [markdown]
# ## From masks to instances
#
# A mask says which pixels are defective. A detector wants to know which *objects* there are: what hangs together,
# diagonal neighbours included, is one instance. SciPy labels the components; each gets the smallest box round it.
# **Predict first**: how many instances will there be for every mask?
#
# A category without masks or boxes begins with what an anomaly detector, which has seen good images only, marks above
# its threshold: a first annotation for a person to correct. It says where and not what, so the class is the folder's.

# %%
predict("instances for every mask", (..., ...), ...)

# %%
# NBVAL_CHECK_OUTPUT
found = []
for row, path in enumerate(defective["mask"].dropna()):
    labels, count = ndimage.label(read_mask(path), np.ones((3, 3)))
    for part, (down, across) in enumerate(ndimage.find_objects(labels), 1):
        area = (labels[down, across] == part).sum()
        if area >= min_area:
            found.append((row, across.start, down.start, across.stop, down.stop))
made = study.annotated
say(study.compared(found))
say(made.summary())
outcome("instances for every mask", len(found) / defective["mask"].notna().sum() if found else None)

# %% [markdown]
# ## One image in every format
#
# Each model family reads its own files. Written from the same instances, and read back to see what was lost:
#
# | task | what must be prepared | formats |
# |---|---|---|
# | detection | a box and a class an object, and images without any | COCO, Pascal VOC, YOLO |
# | open-vocabulary detection (YOLO-World) | the same, and class names that read as phrases | YOLO |
# | instance segmentation | a mask and a class an object | COCO (run lengths keep holes), YOLO polygons (they do not) |
# | semantic segmentation | a class a pixel | indexed PNG |
# | promptable segmentation (SAM) | image, mask, and a box or points to ask with | JSON with masks as PNG |

# %%
annotations = annotate.export.export(
    table,
    list(annotate.FORMATS),
    run.folder / "annotations",
    min_area=min_area,
    seed=seed,
    detector=study.annotator,
    force=True,
    echo=lambda text: None,
)
formats = run.table(pd.DataFrame(annotations.rows()).set_index("format"), "formats")
formats.round(4)

# %%
# NBVAL_CHECK_OUTPUT
say("instances agree across formats:", formats["instances"].nunique() == 1)
say("read back as written:", ", ".join(formats.index[formats["exact"]]))

# %% [markdown]
# The same object, as each format says it. Pascal VOC counts pixels from 1 and includes the last one; YOLO divides by
# width and height and gives the centre; COCO's run lengths go down the columns. MVTec AD names its images `000.png` in
# every folder, so the files are renamed to `<defect>_<stem>.png`.


# %%
def first_line(path):
    """Of a file; nothing where a format left the image out: polygons hold no box without a mask."""
    return path.read_text().splitlines()[0] if path.is_file() and path.stat().st_size else ""


dataset = annotations.data
first = dataset.instances[0]
name, split = dataset.names[first.row], dataset.splits[first.row]
stem = name.rsplit(".", 1)[0]
folder = annotations.folder
coco = json.loads((folder / "coco" / "annotations" / f"instances_{split}.json").read_text())
image_id = next(image["id"] for image in coco["images"] if image["file_name"] == name)
entry = next(a for a in coco["annotations"] if a["image_id"] == image_id)
say(f"{name} ({split}), box from {first.xyxy[:2]} up to, not including, {first.xyxy[2:]}, {first.area} pixels\n")
print("COCO:      ", {k: entry[k] for k in ("category_id", "bbox", "area", "iscrowd")})
box = (folder / "voc" / "Annotations" / f"{stem}.xml").read_text().partition("<bndbox>")[2].partition("</bndbox>")[0]
print("Pascal VOC:", " ".join(box.split()))
print("YOLO:      ", first_line(folder / "yolo" / "labels" / split / f"{stem}.txt"))
polygon = first_line(folder / "yolo-seg" / "labels" / split / f"{stem}.txt")
print("YOLO seg.: ", polygon[:70], "..." if len(polygon) > 70 else "")
changes = np.flatnonzero(np.diff(np.pad(first.mask.ravel(order="F"), 1).astype(int)))
print("run lengths:", np.diff([0, *changes])[:8].tolist(), "...")

# %%
run.figure(annotate.preview.sheet(dataset, columns=2, each=2), "formats")

# %% [markdown]
# **Why** look before you train: an outline that is a pixel off, a box of the wrong image or a class of the wrong name
# is seen at once here, and never again: a model learns it without complaint.

# %% [markdown]
# ## SAM: one model, any object, if you ask well
#
# SAM ([Kirillov et al. 2023](https://arxiv.org/abs/2304.02643)) encodes an image once and then answers prompts, a box
# or clicks, in milliseconds. MobileSAM ([Zhang et al. 2023](https://arxiv.org/abs/2306.14289)) does the first with a
# small network, so that it runs on a CPU. It has never seen a defect as such. *Fine-tuning* here leaves the encoder as
# it is: the embeddings are computed once, and the decoder, a twentieth of the network, learns from them in a minute.
# The loss is cross-entropy plus Dice, `1 - 2|A and B| / (|A| + |B|)`; the boxes to learn from are jittered, since a
# person's boxes are not exact either. The learning rate falls to zero and the last decoder is kept: a handful of
# held-out images cannot tell which epoch is best, so they end training only where it clearly harms. Each way to ask
# gets a decoder of its own: one that is to learn them all from few images forgets how to follow a good box.
#
# Three ways to ask are compared on the same test images: with the true box, with one click into the defect, and with
# boxes from an anomaly detector that has seen good images only, so that **no person asks at all**. Two others need no
# prompt: the anomaly map above its threshold, and a light segmenter that learns from the same images. **Predict**
# **first**: which of the three prompts gains most from fine-tuning?

# %%
predict("the prompt that gains most from fine-tuning", ..., ..., among=annotate.PROMPTS)

# %%
sam = study.segmenter  # None where its weights are not on this machine, which is then said here

# %%
# The quick profile takes a part of the images, every class in turn.
part = study.part({"quick": 20, "full": len(defective)}[profile])
masks = study.fine_tune(
    part,
    n_train={"quick": n_train, "full": max(n_train, 20)}[profile],  # and half of the images at most
    n_splits={"quick": 3, "full": 5}[profile],
    settings=annotate.FineTuning(num_epochs={"quick": 5, "full": 12}[profile], seed=seed),
    cache=run.folder / "embeddings",
)
kept = run.table(masks.scores.set_index("method"), "segmentation")  # with Dice, too
tables.shown(kept[["prompt", "iou_before", "iou_after", "gain", "gain_low", "gain_high"]])

# %%
outcome("the prompt that gains most from fine-tuning", kept.set_index("prompt")["gain"].astype(float))

# %% [markdown]
# Look at the masks before and after. Where nothing could be measured, the first annotation is beside what SAM, as
# published, makes of its boxes.

# %%
run.figure(plots.masks.segmentations(**masks.looks()), "segmentations")

# %% [markdown]
# **Why** the way to ask matters: a box says how large the object is, a click does not, and SAM then takes the part that
# has the clearest edge, often the product. A detector's box round the wrong thing gets an exact mask of it.

# %% [markdown]
# ## Why few images are enough, or are not
#
# IoU over the number of images learned from, always on the same test images. What needs no training is a dashed line.

# %%
curve = masks.curve({"quick": (4,), "full": (5, 10)}[profile])
run.figure(plots.masks.learning_curve(curve, masks.without_curve), "segmentation_curve")

# %% [markdown]
# **Why** a curve may be flat: the first images teach what counts as the defect; if those that follow show the same,
# there is nothing more to learn from them. If it still rises at its end, annotate more.

# %% [markdown]
# ## Detection
#
# The plain baseline is FCOS ([Tian et al. 2019](https://arxiv.org/abs/1904.01355)) on a small backbone whose weights
# pip has installed. *mAP50*: the area under the precision-recall curve, a box counting as right if its IoU with a true
# one is at least 0.5, averaged over classes. Where the extra `yolo` is installed (`make course EXTRAS=yolo`; its
# licence is AGPL-3.0), YOLOv8 and YOLO-World learn from the same images; where not, the cell says what is left out.
#
# YOLO-World ([Cheng et al. 2024](https://arxiv.org/abs/2401.17270)) compares regions with *texts*: class names become
# embeddings by CLIP. Where CLIP cannot be had, the embeddings begin at those of COCO's 80 names that fit the training
# boxes best, and are learned; the column `text` says which. A defective image without a box is left out, for a detector
# would learn from it that the defect is background; so is a class too small to stand on both sides of a split.

# %%
size, epochs = {"quick": (256, 12), "full": (640, 100)}[profile]
world = annotate.YoloWorld(size=size, epochs={"quick": 4, "full": 60}[profile], category=category, seed=seed)
models = {
    "FCOS": annotate.Fcos(size=size, epochs=epochs, seed=seed),
    "YOLOv8n": annotate.YoloV8(size=size, epochs={"quick": 10, "full": 100}[profile], seed=seed),
    "YOLO-World-s": world,
}
alone = {"YOLO-World-s, embeddings alone": replace(world, train="embeddings", lr=2e-3)}
boxes = study.detect(models | {"quick": {}, "full": alone}[profile], n_splits={"quick": 1, "full": 5}[profile])
board = run.table(boxes.board.set_index("model"), "detection")
tables.shown(board)

# %% [markdown]
# What a fine-tuned model has gained on your classes it may have lost on all others. Two everyday photographs tell:
# which of COCO's 80 names does YOLO-World find on them before, and which after?

# %%
vocabulary = boxes.vocabulary()
say(boxes.describe_vocabulary(vocabulary))

# %%
run.figure(plots.boxes.boxes_on_images(**boxes.looks()), "detections")

# %% [markdown]
# **Why** a box near the defect may count as false: below an IoU of 0.5 it is one, however well a person would find the
# defect by it. Small boxes suffer most, since a shift by two pixels is a larger share of them.

# %%
sizes = {"quick": (10,), "full": (5, 10, 20, 40)}[profile]
run.figure(plots.boxes.learning_curves(boxes.curve(sizes), boxes.without), "detection_curve")

# %% [markdown]
# **Why** detectors need more images than SAM: they must find the defect by themselves, among all that is no defect;
# SAM is told where to look.

# %% [markdown]
# ## Annotate by clicking
#
# A category without masks begins here: click on the defect, look at what SAM (the decoder that was fine-tuned for
# clicks) proposes, add a click beside it where it took too much, accept it with a class. Every accepted mask is in a
# COCO file at once.

# %%
widgets.segment(masks.answer, part, run.folder / "clicked.json")

# %% [markdown]
# What was fine-tuned stays, each model a folder of settings and tensors in which nothing is executed:
# `annotate.boxes.BoxDetector.load` and `annotate.masks.saved.load` read one back. Where nothing was fine-tuned, as said
# above, the list is empty.

# %%
[folder.name for folder in (*boxes.save(run.folder / "models"), *masks.save(run.folder / "models"))]

# %% [markdown]
# ## What came out
#
# Written from the numbers above, whatever they are.

# %%
text = annotate.describe_annotation(
    made, annotations.rows(), masks.scores, boxes.board, curve, origin=study.origin, left_out=study.left_out
)
say(text, width=100)

# %%
run.metrics(
    formats=annotations.rows(),
    **masks.metrics(curve),
    **boxes.metrics(vocabulary),
    **study.metrics(),  # where annotations are from, why a value is null, and what would bring it
    summary=text,
)

# %% [markdown]
# ## Checkpoint
#
# - Which of the formats would you give to somebody who trains a detector, and which to somebody whose defects have
#   holes?
# - Why must good images be in the training set of a detector, and what would you put into their label files?
# - The anomaly detector asks SAM with a box round a reflection. What comes out, and who should have caught it?
# - A colleague fine-tunes all of YOLO-World on 40 boxes and is pleased. What has it forgotten?
#
# ## Exercises
#
# Each has a check that answers at once. They are in `exercises/ex05_detection_segmentation.ipynb` to be solved; here
# the answers are folded away.

# %% [markdown] tags=["exercise"]
# ### Exercise 1 (level 2). Fill in: run lengths
#
# COCO writes a mask as numbers: how many zeros, then how many ones, then zeros, and so on, **down the columns**. The
# first number counts zeros, even if there are none. `[[0, 1], [1, 1]]` becomes `[1, 3]`.


# %% tags=["exercise", "answer-1"]
def run_lengths(mask):
    """A list of ints; their sum is the number of pixels."""
    # BEGIN SOLUTION
    # HINT: In which order does mask.ravel() read the pixels, and which order does COCO want?
    # HINT: Flatten down the columns (order="F"), put a zero in front, and find where the value changes.
    # HINT: np.flatnonzero(np.diff(...)) are the places of change; lengths are the differences of 0, these, mask.size.
    pixels = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(np.diff(pixels.astype(int)))
    return np.diff([0, *changes, mask.size]).tolist()
    # END SOLUTION


# %% tags=["exercise", "check-1"]
# NBVAL_CHECK_OUTPUT
checks.run_lengths(run_lengths)

# %% [markdown] tags=["exercise"]
# ### Exercise 2 (level 3). Average precision by hand
#
# The figure by which detectors are judged. `found` has a row for each box that a detector found: image, $x_1$, $y_1$,
# $x_2$, $y_2$, score. `truth` has the true boxes: image, $x_1$, $y_1$, $x_2$, $y_2$. All are of one class.
#
# Go through the found boxes, the surest first. A box is *right* if a true box of its image, which no box before has
# taken, overlaps it with an IoU (intersection over union) of at least 0.5; it takes the one that it overlaps most.
# After $k$ boxes the *precision* $p_k$ is the share of them that is right. With $r_k = 1$ for a right box and 0 for a
# false one, and $M$ true boxes,
#
# $$\mathrm{AP} = \frac{1}{M} \sum_k r_k \max_{j \ge k} p_j$$


# %% tags=["exercise", "answer-2"]
def average_precision(found, truth):
    """Between 0 and 1."""

    # BEGIN SOLUTION
    # HINT: Two boxes on one defect: how many of them can be right? And a sure box on an image without a defect?
    # HINT: Sort by score; for each box compute its IoU with the true boxes that are left on its image.
    # HINT: With right as 0 and 1, precision is np.cumsum(right) / np.arange(1, n + 1); take its maximum from k.
    def iou(one, other):
        width = min(one[2], other[2]) - max(one[0], other[0])
        height = min(one[3], other[3]) - max(one[1], other[1])
        shared = max(width, 0) * max(height, 0)
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
        return shared / (sum(areas) - shared)

    left, right = [tuple(box) for box in truth], []
    for image, *box, _ in sorted(found.tolist(), key=lambda row: -row[-1]):
        overlaps = {true: iou(box, true[1:]) for true in left if true[0] == image}
        best = max(overlaps, key=overlaps.get, default=None)
        right.append(best is not None and overlaps[best] >= 0.5)
        if right[-1]:
            left.remove(best)
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    return sum(precision[k:].max() for k in np.flatnonzero(right)) / len(truth)
    # END SOLUTION


# %% tags=["exercise", "check-2"]
# NBVAL_CHECK_OUTPUT
checks.average_precision(average_precision)

# %% [markdown] tags=["exercise"]
# ### Exercise 3 (level 2). Find the planted bug: a box that is not quite right
#
# ```python
# def voc_box(mask):
#     rows, columns = np.nonzero(mask)
#     return rows.min(), columns.min(), rows.max(), columns.max()
# ```
#
# Two things are wrong. Pascal VOC wants xmin, ymin, xmax, ymax; its first pixel has the number 1, and the last pixel of
# the object belongs to the box.


# %% tags=["exercise", "answer-3"]
def voc_box(mask):
    """xmin, ymin, xmax, ymax."""
    # BEGIN SOLUTION
    # HINT: Which of the two arrays is x? And which number has the very first pixel?
    # HINT: x goes along the columns; numpy counts from 0 and Pascal VOC from 1.
    # HINT: Return the least column and row, then the largest column and row, each plus 1.
    rows, columns = np.nonzero(mask)
    return columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1
    # END SOLUTION


# %% tags=["exercise", "check-3"]
# NBVAL_CHECK_OUTPUT
checks.voc_box(voc_box)

# %% [markdown] tags=["exercise"]
# ### Exercise 4 (level 1). Predict, then measure: what is too small?
#
# How many components of the masks of the generated bottle have fewer than 100 pixels, and would be dropped by
# `min_area=100`? Guess, then write what counts them for any list of masks (bool arrays): `scipy.ndimage.label` with
# `np.ones((3, 3))` joins diagonal neighbours.

# %% tags=["exercise"]
# The exercise is on the generated bottle, whatever your category is.
home = data if category.startswith("synthetic/") else None
course = load_table(get("synthetic/bottle", home, progress=False), "synthetic/bottle")
print(course["mask"].notna().sum(), "masks")
predict("components of fewer than 100 pixels", (..., ...), ...)


# %% tags=["exercise", "answer-4"]
def count_small(masks, min_area):
    """Number of components of all masks that have fewer than min_area pixels."""
    # BEGIN SOLUTION
    # HINT: What is dropped: a mask, or a part of one? And what of a component that has exactly min_area pixels?
    # HINT: Label each mask by itself, count the pixels of each label, and leave out label 0, the background.
    # HINT: np.bincount(labels.ravel())[1:] has the pixels of the components of one mask.
    areas = [np.bincount(ndimage.label(mask, np.ones((3, 3)))[0].ravel())[1:] for mask in masks]
    return int((np.concatenate(areas) < min_area).sum())
    # END SOLUTION


# %% tags=["exercise", "check-4"]
checks.dropped_components(count_small)
outcome("components of fewer than 100 pixels", count_small([read_mask(path) for path in course["mask"].dropna()], 100))

# %% [markdown]
# **More to try.** Ask with boxes that are 20 pixels off: what does jitter in training buy? Annotate ten of your own
# photographs by clicks, and train a detector on them.

# %% [markdown]
# ## What to remember
#
# Masks become instances, instances become files; formats differ in what they cannot hold, and what is lost can be
# counted. A model that has seen millions of images may need only a few of yours, since only its last step has to learn;
# whether it does, and how few, is a curve and an interval, not an opinion. An anomaly detector can ask the questions,
# and a person only corrects.
#
# **Next:** `06_report` answers the assignment from what was measured.
