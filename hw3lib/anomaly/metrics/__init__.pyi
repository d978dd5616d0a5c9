from .metrics import BestF1, ImageMetrics, PixelMetrics, check_scores, image_metrics

__all__ = ["BestF1", "ImageMetrics", "PixelMetrics", "check_scores", "image_metrics"]
