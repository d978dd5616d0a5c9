from . import (
    anomaly as anomaly,
    boxes as boxes,
    classify as classify,
    dataset as dataset,
    explain as explain,
    imbalance as imbalance,
    inspection as inspection,
    masks as masks,
    student_reports as student_reports,
    style as style,
)
from .style import nothing as nothing
