"""Models that give boxes: FCOS, YOLOv8, YOLO-World; trained and measured."""
