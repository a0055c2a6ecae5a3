"""The plan of all batches of a training."""

from pathlib import Path
from typing import assert_never

import numpy as np

from stages import config, store
from stages.batches import pairs, plan, triplets

_LISTED = 5  # images that the summary lists by number, at most


def run(batches: config.Batches, train: config.Train, paths: config.Paths, seed: int) -> None:
    """Plan `train.steps` batches over the training labels and write `paths.batches`, int32 `[steps, batch]`.

    Raises:
        UserError: the training images have too few classes, or too few images, for such batches.
    """
    labels = store.load_labels(Path(paths.prepared) / "train_labels.npy")
    planned = _planned(batches, labels, train.steps, seed)
    store.save_array(paths.batches, planned)
    print(
        f"{batches.layout}: {train.steps} batches of {planned.shape[1]}{_parts(batches, train.steps)} "
        f"→ {paths.batches}; each of {len(labels)} images is seen {planned.size / len(labels):.1f} times on average"
    )
    remark = _remark(batches, labels)
    if remark:
        print(remark)


def _planned(batches: config.Batches, labels: np.ndarray, steps: int, seed: int) -> np.ndarray:
    match batches:
        case config.ClassBalanced():
            return plan.class_balanced(labels, batches.classes_per_batch, batches.samples_per_class, steps, seed)
        case config.Shuffled():
            return plan.shuffled(len(labels), batches.batch_size, steps, seed)
        case config.Pairs():
            return pairs.paired(labels, batches.pairs_per_batch, steps, seed)
        case config.Triplets():
            number = batches.triplets_per_batch
            return triplets.triplets(labels, number, batches.num_same, batches.num_diff, steps, seed)
        case _:
            assert_never(batches)


def _parts(batches: config.Batches, steps: int) -> str:
    """What the rows of all batches make up, where they are not single images."""
    match batches:
        case config.Pairs():
            return f" ({steps * batches.pairs_per_batch} pairs)"
        case config.Triplets():
            return f" ({steps * batches.triplets_per_batch} triplets)"
        case _:
            return ""


def _remark(batches: config.Batches, labels: np.ndarray) -> str | None:
    """What the training images lack for such batches."""
    _, class_of, counts = np.unique(labels, return_inverse=True, return_counts=True)
    alone = np.flatnonzero(counts[class_of] == 1)
    match batches:
        case config.ClassBalanced(samples_per_class=samples) if small := np.count_nonzero(counts < samples):
            return f"{small} classes have fewer images than samples_per_class and repeat them"
        case config.Pairs() if alone.size:
            return f"{_listed(alone)} alone in their class: left of pairs of two classes only"
        case config.Triplets() if alone.size:
            return f"{_listed(alone)} alone in their class: never an anchor or a positive"
        case _:
            return None


def _listed(images: np.ndarray) -> str:
    """Their number and the first of them, by their numbers."""
    numbers = ", ".join(str(image) for image in images[:_LISTED]) + (", …" if len(images) > _LISTED else "")
    return f"{len(images)} images ({numbers}) are"
