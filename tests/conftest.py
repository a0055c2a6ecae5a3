import os

# Before anything imports TensorFlow or Matplotlib.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

from stages.train import strategy

# Before any test computes: TensorFlow takes no other number of threads afterwards.
strategy.set_up(seed=0, threads=2)

LONG = (
    "test_kills",
    "test_processes",
    "test_interruption",
    "test_sweep",
    "test_trials",
    "test_unreachable",
    "test_loop",
    "test_devices",
    "test_presets",
    "test_pipeline",
)
"""Files of few tests that take long, first: begun last, one of them would be what all others wait for at the end."""


def pytest_collection_modifyitems(items):
    """Put the long files first, in their order; the others stay in theirs."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))
