"""Training and test images where one folder has all of them."""

from collections.abc import Sequence

import numpy as np

from stages.errors import UserError
from stages.prepare.classes import and_more, listed, matching
from stages.prepare.images import Images
from stages.prepare.labelled import Labelled, chosen
from stages.prepare.splits import TEST, stratified


def divide(
    whole: Labelled[Images], share: float | None, holdout: Sequence[str | int] | None, seed: int
) -> tuple[Labelled[Images], Labelled[Images]]:
    """Split off the test images: all images of the held-out classes, and a share of each other class.

    Args:
        whole: all images.
        share: of the images of the other classes, above 0 and at most 0.5; None: none of them.
        holdout: names of classes, of which some may not exist; None is for files that are divided already.
        seed: of the draw.

    Returns:
        Training and test images, both in the order in which they were.

    Raises:
        UserError: no names of classes, no test image, or a class of which less than two images are left for training.
    """
    if holdout is None:
        raise UserError(
            f"data.holdout_classes: found null and no folder test in {whole.files[0]}, expected names of classes"
        )
    held_out = np.isin(whole.codes, matching(whole.names, holdout))
    train, test = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    left = len(np.unique(whole.codes[train]))
    if left < min(2, len(whole.names)):
        names = listed([str(name) for name in holdout])
        raise UserError(
            f"data.holdout_classes: found [{names}], which leaves {left} of the {len(whole.names)} classes in "
            f"{whole.files[0]} for training, expected at least 2"
        )
    if share is not None:
        train, test = _drawn(whole, train, test, share, seed)
    if not len(test):
        raise UserError(
            f"data.test: found {'null' if share is None else share}, which gives none of {len(whole.codes)} images; "
            "expected a folder test, a share that gives at least one, or data.holdout_classes"
        )
    return chosen(whole, train), chosen(whole, test)


def _drawn(
    whole: Labelled[Images], train: np.ndarray, test: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    before = np.bincount(whole.codes[train], minlength=len(whole.names))
    single = np.flatnonzero(before == 1)
    if len(single):
        row = int(train[whole.codes[train] == single[0]][0])
        raise UserError(
            f"{whole.place(row)}: found the only image of class {whole.names[whole.codes[row]]!r}"
            f"{and_more([whole.names[code] for code in single])}, expected at least two of each"
        )
    kept, drawn = stratified(whole.codes[train], share, seed, TEST)
    after = np.bincount(whole.codes[train[kept]], minlength=len(whole.names))
    if (after == 1).any():
        few = int(np.flatnonzero(after == 1)[0])
        raise UserError(
            f"data.test: found {share}, which leaves one of the {before[few]} images of class {whole.names[few]!r} for "
            "training, expected at least two; give each class more images, or name it in data.holdout_classes"
        )
    return train[kept], np.sort(np.concatenate([test, train[drawn]]))
