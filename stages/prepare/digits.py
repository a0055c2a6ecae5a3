"""Writes data/digits from scikit-learn's copy of the UCI handwritten digits: `python -m stages.prepare.digits`."""

from pathlib import Path

import numpy as np

from stages.prepare import mnist_layout

FOLDER = Path(__file__).resolve().parents[2] / "data" / "digits"
_SEED = 0


def split_digits() -> dict[str, tuple[np.ndarray, list[str]]]:
    """The 1,797 digits, four fifths of every class for training.

    Grey values 0..16 become 0..255 by `round(v · 255 / 16)`, which loses nothing: all seventeen stay distinct.

    Returns:
        For `train` and `test`: images uint8 `[N, 8, 8, 1]` and labels.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    values, labels = load_digits(return_X_y=True)
    images = np.round(values * 255 / 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, random_state=_SEED, stratify=labels)
    parts = {"train": np.sort(train), "test": np.sort(test)}
    return {part: (images[rows], [str(label) for label in labels[rows]]) for part, rows in parts.items()}


if __name__ == "__main__":
    for file in mnist_layout.write(FOLDER, split_digits()):
        print(file.relative_to(FOLDER.parents[1]))
