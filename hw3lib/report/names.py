"""Names that the course gives, and what chapters leave in ``metrics.json`` as sentences: the report translates them."""

from __future__ import annotations

NAMES = (
    # attempts, and the factors that their comparisons try
    *("baseline", "1 more data", "2 transfer", "3 multi-scale head", "4 two-stage", "5 defect-guided"),
    *("5 with logistic regression", "whole image, equal budget", "simple_cnn"),
    *("more data", "a deeper network", "a still deeper network", "pretraining", "a second stage"),
    *("a lower rate with more epochs", "higher resolution"),
    # answers to imbalance
    *("plain", "copy-paste", "class weights", "class-balanced loss", "focal loss", "logit-adjusted loss"),
    *("post-hoc logit adjustment", "random oversampling", "borderline SMOTE", "balanced batches"),
    *("flexible LEAP-CosFace", "flexible LEAP-ArcFace"),
    # detectors, and what is done to their images
    *("k-nearest neighbours", "Mahalanobis", "one-class SVM", "isolation forest", "autoencoder (L2)"),
    *("autoencoder (SSIM)", "synthetic defects", "20 % darker", "in warmer light", "lit from the left"),
    *("shifted by 5 %", "turned by 5 degrees", "turned by 90 degrees"),
    # prompts of SAM
    *("box", "points", "point"),
    # in figures
    *("image", "mask", "heat map", "above the threshold", "no mask", "most anomalous", "least anomalous"),
    *("anomaly map", "second look", "no defect", "{0} score {1}", "highest {0}", "{0} of the defect"),
    *("{0} train, 1 instance", "{0} train, {1} instances", "{0} val, 1 instance", "{0} val, {1} instances"),
    *("{0} test, 1 instance", "{0} test, {1} instances"),
    # how many images a comparison takes, see hw3lib.core.intervals.Design.power
    "To find a gain of 5 points in four of five such comparisons takes about {0} images; here are {1}.",
    "To find a gain of 5 points in four of five such comparisons takes about {0} images; here are {1}, and more splits "
    "of the same images replace none.",
    # why chapter 5 leaves a part out, besides hw3lib.data.parts
    "{0} needs the published weights {1}, which are not on this machine",
    "{0} need the published weights {1}, which are not on this machine",
    "{0} need the package {1}, which is not installed",
    "IoU and Dice need true masks, and there are boxes alone",
    "IoU, Dice and mAP need true masks and there are none: an anomaly map that no person has corrected is no truth to "
    "measure against",
    "{0} images have a mask, and {1} or more are needed to learn from some and test others",
    "no class has images with boxes on both sides of a split",
)
