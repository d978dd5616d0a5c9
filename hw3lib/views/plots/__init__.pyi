from . import anomaly, boxes, classify, dataset, explain, imbalance, masks, student_reports, style

__all__ = ["anomaly", "boxes", "classify", "dataset", "explain", "imbalance", "masks", "student_reports", "style"]
