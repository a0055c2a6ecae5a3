"""The plan of all batches of a training."""

from pathlib import Path

import numpy as np

from stages import config, store
from stages.batches import plan


def run(batches: config.ClassBalanced | config.Shuffled, train: config.Train, paths: config.Paths, seed: int) -> None:
    """Plan `train.steps` batches over the training labels and write `paths.batches`, int32 `[steps, batch]`.

    Raises:
        UserError: fewer classes, or fewer images, than a batch takes.
    """
    labels = store.load_array(Path(paths.prepared) / "train_labels.npy", np.int32, 1)
    if isinstance(batches, config.ClassBalanced):
        planned = plan.class_balanced(labels, batches.classes_per_batch, batches.samples_per_class, train.steps, seed)
    else:
        planned = plan.shuffled(len(labels), batches.batch_size, train.steps, seed)
    store.save_array(paths.batches, planned)
    print(
        f"{batches.layout}: {train.steps} batches of {planned.shape[1]} → {paths.batches}; "
        f"each of {len(labels)} images is seen {planned.size / len(labels):.1f} times on average"
    )
    if isinstance(batches, config.ClassBalanced):
        small = int(np.count_nonzero(np.unique(labels, return_counts=True)[1] < batches.samples_per_class))
        if small:
            print(f"{small} classes have fewer images than samples_per_class and repeat them")
