"""Judge photographs with an exported inspector's detector: onnxruntime, numpy and Pillow alone.

python docs/examples/clients/judge.py EXPORTED PHOTOGRAPH...
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

folder, *photographs = map(Path, sys.argv[1:])
contract = json.loads((folder / "contract.json").read_text())
told = contract["input"]
if told["fit"] != "stretch" or told["pixel_range"] or told["roi"]:
    sys.exit("this client reads photographs of 8 bits, whole and stretched to a square")
session = onnxruntime.InferenceSession(folder / contract["model"], providers=["CPUExecutionProvider"])
good = np.array(contract["good_scores"], np.float32)
for photograph in photographs:
    image = ImageOps.exif_transpose(Image.open(photograph)).convert("RGB")
    square = image.resize(told["shape"][2:], Image.Resampling.BILINEAR)
    images = np.asarray(square, np.uint8).transpose(2, 0, 1)[None]
    score = session.run(["scores"], {"images": np.ascontiguousarray(images)})[0][0]
    p = ((good >= score).sum() + 1) / (len(good) + 1)
    print(photograph, "anomalous" if score > contract["threshold"] else "good", f"{score:.7g} {p:.4g}")
