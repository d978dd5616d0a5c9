"""Visual inspection from a folder of product photographs: a course in notebooks, and the package under it."""

import os

__version__ = "0.1.0"

# OpenMP's threads wait for each other by spinning, GNU's for some milliseconds: beside another busy program a training
# step of a small network then takes ten times as long. A fifteenth of that costs nothing where nothing else runs.
# It is read when PyTorch is loaded, which comes later.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
# What Apple's MPS cannot do yet the CPU does, instead of an error. Read when PyTorch is loaded, too.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
