from .metrics import (
    BestF1 as BestF1,
    ImageMetrics as ImageMetrics,
    PixelMetrics as PixelMetrics,
    check_scores as check_scores,
    image_metrics as image_metrics,
)
