import os

# Before anything imports TensorFlow or Matplotlib.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

from stages.train import strategy

# Before any test computes: TensorFlow takes no other number of threads afterwards.
strategy.set_up(seed=0, threads=2)
