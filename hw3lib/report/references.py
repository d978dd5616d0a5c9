"""The papers that the report cites."""

from __future__ import annotations

DOI = "https://doi.org/"
Cited = tuple[int, str, str, str]  # number, text, the address as it is shown, the link
# By the name in a reference: authors, title, where; and a DOI, a number of arXiv, or an address of the proceedings,
# or nothing where none was found that could be checked.
PAPERS = {
    "mvtec": (
        "Bergmann, Fauser, Sattlegger, Steger: MVTec AD, a comprehensive real-world dataset for unsupervised anomaly "
        "detection. CVPR 2019",
        "10.1109/CVPR.2019.00982",
    ),
    "splits": (
        "Nadeau, Bengio: Inference for the generalization error. Machine Learning 52, 2003",
        "10.1023/A:1024068626366",
    ),
    "deepsmote": (
        "Dablain, Krawczyk, Chawla: DeepSMOTE: fusing deep learning and SMOTE for imbalanced data. IEEE "
        "Transactions on Neural Networks and Learning Systems 34, 2023",
        "10.1109/TNNLS.2021.3136503",
    ),
    "lro": ("Kim, Choi, Lee, Kim, Bae, Oh. Computers & Industrial Engineering 162, 107767, 2021", ""),
    "cloud": (
        "Liu, Sun, Han, Dou, Li: Deep representation learning on long-tailed data, a learnable embedding augmentation "
        "perspective. CVPR 2020",
        "arXiv:2002.10826",
    ),
    "adsh": (
        "Guo, Li: Class-imbalanced semi-supervised learning with adaptive thresholding. ICML 2022",
        "https://proceedings.mlr.press/v162/guo22e.html",
    ),
    "ganomaly": (
        "Akcay, Atapour-Abarghouei, Breckon: GANomaly, semi-supervised anomaly detection via adversarial training. "
        "ACCV 2018",
        "arXiv:1805.06725",
    ),
    "svdd": (
        "Ruff et al.: Deep one-class classification. ICML 2018",
        "https://proceedings.mlr.press/v80/ruff18a.html",
    ),
    "cutpaste": (
        "Li, Sohn, Yoon, Pfister: CutPaste, self-supervised learning for anomaly detection and localization. CVPR 2021",
        "arXiv:2104.04015",
    ),
    "patchcore": (
        "Roth et al.: Towards total recall in industrial anomaly detection. CVPR 2022",
        "arXiv:2106.08265",
    ),
    "padim": (
        "Defard, Setkov, Loesch, Audigier: PaDiM, a patch distribution modeling framework for anomaly detection and "
        "localization. ICPR 2020",
        "arXiv:2011.08785",
    ),
    "yoloworld": (
        "Cheng et al.: YOLO-World, real-time open-vocabulary object detection. CVPR 2024",
        "arXiv:2401.17270",
    ),
    "sam": ("Kirillov et al.: Segment anything. ICCV 2023", "arXiv:2304.02643"),
    "adapters": (
        "Houlsby et al.: Parameter-efficient transfer learning for NLP. ICML 2019",
        "arXiv:1902.00751",
    ),
}


def cited(number: int, key: str) -> Cited:
    """A paper in the list of references."""
    words, where = PAPERS[key]
    if where.startswith("10."):
        return number, words, f"doi:{where}", DOI + where
    return number, words, where, where.replace("arXiv:", "https://arxiv.org/abs/")
