"""The methods that are compared, each with its paper and its equation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hw3lib.imbalance.oversamplers.deepsmote import DeepSmote
from hw3lib.imbalance.oversamplers.lro import LroStyle
from hw3lib.imbalance.oversamplers.smote import RandomOversampler, SmoteOversampler

from .losses import class_balanced_weights, inverse_frequency_weights
from .training import (
    Part,
    Scores,
    adjusted_after,
    adjusted_loss,
    balanced,
    focal,
    made,
    margin,
    mixed_features,
    mixed_images,
    oversampled,
    pasted,
    pseudo_labelled,
    weighted,
)


@dataclass(frozen=True)
class Method:
    """An answer to imbalance.

    Attributes:
        name: as it stands in tables.
        kind: ``none``, ``loss``, ``sampling``, ``mixing``, ``margin``, ``unlabelled``, ``pasted defects`` or
            ``generated images``.
        paper: where it comes from.
        equation: what it changes, as LaTeX or words.
        differs: settings that are not the paper's, and why; empty: they are.
        fit: learns from a part; gives a function from features ``(n, D)`` to scores ``(n, C)``.
    """

    name: str
    kind: str
    paper: str
    equation: str
    fit: Callable[[Part], Scores]
    differs: str = ""


SCALE = "s = 16 instead of 64, which is for thousands of classes"
CLOUD = f"{SCALE}; threshold and warm-up are chosen here, and the features are frozen: the text was not at hand"
NO_AVERAGE = "no averaged weights: over 200 batches an average of decay 0.999 is still at its start"

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("plain", "none", "cross-entropy on the long-tailed images", r"-\log p_y", lambda part: part.train()),
        Method(
            "class weights",
            "loss",
            "King and Zeng 2001, Political Analysis 9",
            r"-\frac{n}{C\,n_y} \log p_y",
            weighted(inverse_frequency_weights),
        ),
        Method(
            "class-balanced loss",
            "loss",
            "Cui et al. 2019, arXiv 1901.05555, beta = 0.9",
            r"-\frac{1-\beta}{1-\beta^{n_y}} \log p_y",
            weighted(class_balanced_weights),
        ),
        Method(
            "focal loss",
            "loss",
            "Lin et al. 2017, arXiv 1708.02002, equation 5, alpha = 0.25, gamma = 2",
            r"-\sum_j \alpha_j (1-p_j)^\gamma \log p_j",
            focal,
            "no initial bias for a rare foreground: these are classes, not a million places in an image",
        ),
        Method(
            "logit-adjusted loss",
            "loss",
            "Menon et al. 2021, arXiv 2007.07314, equation 10, tau = 1",
            r"-\log \mathrm{softmax}_y(f + \tau \log \pi)",
            adjusted_loss,
        ),
        Method(
            "post-hoc logit adjustment",
            "loss",
            "Menon et al. 2021, arXiv 2007.07314, equation 9, tau = 1",
            r"\arg\max_j f_j - \tau \log \pi_j",
            adjusted_after,
        ),
        Method("balanced batches", "sampling", "every class equally often in a batch", r"P(y=c) = 1/C", balanced),
        Method(
            "random oversampling",
            "sampling",
            "imbalanced-learn's RandomOverSampler",
            r"n_c \to n_{\max}",
            oversampled(lambda seed: RandomOversampler(random_state=seed)),
        ),
        Method(
            "SMOTE",
            "sampling",
            "Chawla et al. 2002, arXiv 1106.1813, on features, k = 5",
            r"x_i + g\,(x_j - x_i),\ g \sim U(0,1)",
            oversampled(lambda seed: SmoteOversampler(random_state=seed)),
        ),
        Method(
            "borderline SMOTE",
            "sampling",
            "Han et al. 2005, LNCS 3644, on features, k = 5",
            r"x_i + g\,(x_j - x_i),\ x_i \text{ near another class}",
            oversampled(lambda seed: SmoteOversampler(kind="borderline", random_state=seed)),
        ),
        Method(
            "mixup",
            "mixing",
            "Zhang et al. 2018, arXiv 1710.09412, alpha = 0.2, on features (Verma et al. 2019, arXiv 1806.05236)",
            r"\lambda x_i + (1-\lambda) x_j,\ \lambda \sim \mathrm{Beta}(\alpha, \alpha)",
            mixed_features,
            "between features, as in Verma et al., since the backbone is frozen",
        ),
        Method(
            "cutmix",
            "mixing",
            "Yun et al. 2019, arXiv 1905.04899, alpha = 1, on images",
            r"M \odot x_i + (1-M) \odot x_j",
            mixed_images,
            "two mixed images for each training image, made once: each passes through the backbone",
        ),
        Method(
            "CosFace",
            "margin",
            "Wang et al. 2018, arXiv 1801.09414, equation 4, m = 0.35",
            r"s(\cos\theta_y - m)",
            margin("cosface", None),
            SCALE,
        ),
        Method(
            "ArcFace",
            "margin",
            "Deng et al. 2019, arXiv 1801.07698, equation 3, m = 0.5",
            r"s\cos(\theta_y + m)",
            margin("arcface", None),
            SCALE,
        ),
        Method(
            "LEAP-CosFace",
            "margin",
            "Liu et al. 2020, arXiv 2002.10826, fixed tail",
            r"s(\cos(\theta_y + \alpha_y) - m),\ \alpha_y \sim N(0, \sigma_h^2 - \sigma_y^2)",
            margin("cosface", "fixed"),
            CLOUD,
        ),
        Method(
            "LEAP-ArcFace",
            "margin",
            "Liu et al. 2020, arXiv 2002.10826, fixed tail",
            r"s\cos(\theta_y + m + \alpha_y)",
            margin("arcface", "fixed"),
            CLOUD,
        ),
        Method(
            "flexible LEAP-ArcFace",
            "margin",
            "Liu et al. 2020, arXiv 2002.10826, flexible tail",
            r"s\cos(\theta_y + m + \alpha_y),\ \alpha_y \sim N(0, \bar\sigma^2 - \sigma_y^2)",
            margin("arcface", "flexible"),
            CLOUD,
        ),
        Method(
            "FixMatch",
            "unlabelled",
            "Sohn et al. 2020, arXiv 2001.07685, tau = 0.95",
            r"[\max_k p_k \ge \tau]\ H(\hat y, p_{\mathrm{strong}})",
            pseudo_labelled(adaptive=False),
            f"mu = 2 unlabelled images for each labelled one, as Adsh, instead of 7; {NO_AVERAGE}",
        ),
        Method(
            "Adsh",
            "unlabelled",
            "Guo and Li 2022, PMLR 162, tau = 0.95, mu = 2",
            r"[\max_k p_k / s_k \ge 1]\ H(\hat y, p_{\mathrm{strong}}),\ \hat y = \arg\max_k p_k / s_k",
            pseudo_labelled(adaptive=True),
            "thresholds anew every 25 batches, not 512: there are 200 in all; rho is 0, not 1, where no prediction of "
            f"the majority is sure (the program's slip); {NO_AVERAGE}",
        ),
        Method(
            "copy-paste",
            "pasted defects",
            "Ghiasi et al. 2021, arXiv 2012.07177, edges blended (Dwibedi et al. 2017, arXiv 1708.01642); needs masks",
            r"\alpha_i \odot x_i + (1-\alpha_i) \odot x_{\mathrm{good}}",
            pasted,
            "the defect stays where it was in the frame and at its size: so do the parts of a product",
        ),
        Method(
            "DeepSMOTE",
            "generated images",
            "Dablain et al. 2021, arXiv 2105.02340",
            r"D(z_i + g\,(z_j - z_i)),\ z = E(x)",
            made(lambda part: DeepSmote(random_state=part.seed)),
            "16 to 128 channels instead of 64 to 512, codes of 64 numbers instead of 300 or 600, 1000 batches of 8 at "
            "rate 0.003 instead of 50 to 350 epochs of 100 at 0.0002: some dozen images, and two cores",
        ),
        Method(
            "LRO-style",
            "generated images",
            "after Kim et al. 2021, Computers and Industrial Engineering 162; a reconstruction",
            r"D(z_i + u\,(z_j - z_i)),\ P(i) \propto \|x_i - D(E(x_i))\|^2",
            made(lambda part: LroStyle(random_state=part.seed)),
            "every number is chosen here: the full text was not at hand",
        ),
    )
}
