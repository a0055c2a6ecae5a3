import os

# Before anything imports TensorFlow: quiet, and two processes of tests share the machine.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
