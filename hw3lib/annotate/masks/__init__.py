"""Models that give masks: SAM and a light segmenter; trained and measured."""
