from pathlib import Path

import numpy as np
import pytest

from stages import config, store
from stages.batches import pairs, plan, triplets
from stages.batches.stage import run
from stages.errors import UserError


def settings(folder: Path, steps: int) -> tuple[config.Train, config.Paths]:
    whole = config.load(Path(__file__).parents[2] / "params.yaml")
    train = whole.train.model_copy(update={"steps": steps, "steps_per_epoch": steps})
    return train, whole.paths.model_copy(
        update={"prepared": str(folder / "prepared"), "batches": str(folder / "batches.npy")}
    )


def prepared(folder: Path, labels: list[int]) -> np.ndarray:
    array = np.array(labels, np.int32)
    store.save_array(folder / "prepared" / "train_labels.npy", array)
    return array


def test_class_balanced_plan_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = prepared(tmp_path, [0, 0, 0, 1, 1, 2, 2, 2])
    batches = config.ClassBalanced(layout="pk", classes_per_batch=2, samples_per_class=3)
    run(batches, *settings(tmp_path, 8), seed=3)
    written = store.load_array(tmp_path / "batches.npy", np.int32, 2)
    np.testing.assert_array_equal(written, plan.class_balanced(labels, 2, 3, 8, 3))
    assert capsys.readouterr().out == (
        f"pk: 8 batches of 6 → {tmp_path / 'batches.npy'}; each of 8 images is seen 6.0 times on average\n"
        "1 classes have fewer images than samples_per_class and repeat them\n"
    )


def test_shuffled_plan_is_written(tmp_path: Path) -> None:
    prepared(tmp_path, [0, 0, 1, 1, 2])
    run(config.Shuffled(layout="shuffled", batch_size=4), *settings(tmp_path, 7), seed=3)
    written = store.load_array(tmp_path / "batches.npy", np.int32, 2)
    np.testing.assert_array_equal(written, plan.shuffled(5, 4, 7, 3))


def test_pairs_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = prepared(tmp_path, [0, 7, 0, 1, 1, 0, 8, 1])
    run(config.Pairs(layout="pairs", pairs_per_batch=3), *settings(tmp_path, 8), seed=3)
    written = store.load_array(tmp_path / "batches.npy", np.int32, 2)
    np.testing.assert_array_equal(written, pairs.paired(labels, 3, 8, 3))
    assert capsys.readouterr().out == (
        f"pairs: 8 batches of 6 (24 pairs) → {tmp_path / 'batches.npy'}; "
        "each of 8 images is seen 6.0 times on average\n"
        "2 images (1, 6) are alone in their class: left of pairs of two classes only\n"
    )


def test_triplets_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = prepared(tmp_path, [0, 0, 1, 1, *range(2, 8)])
    batches = config.Triplets(layout="triplets", triplets_per_batch=3, num_same=1, num_diff=2)
    run(batches, *settings(tmp_path, 10), seed=3)
    written = store.load_array(tmp_path / "batches.npy", np.int32, 2)
    np.testing.assert_array_equal(written, triplets.triplets(labels, 3, 1, 2, 10, 3))
    assert capsys.readouterr().out == (
        f"triplets: 10 batches of 9 (30 triplets) → {tmp_path / 'batches.npy'}; "
        "each of 10 images is seen 9.0 times on average\n"
        "6 images (4, 5, 6, 7, 8, …) are alone in their class: never an anchor or a positive\n"
    )


@pytest.mark.parametrize(
    "batches",
    [
        config.Pairs(layout="pairs", pairs_per_batch=2),
        config.Triplets(layout="triplets", triplets_per_batch=2, num_same=1, num_diff=1),
    ],
)
def test_nothing_is_remarked_where_no_image_is_alone(
    tmp_path: Path, batches: config.Batches, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(tmp_path, [0, 0, 1, 1, 1])
    run(batches, *settings(tmp_path, 2), seed=0)
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    "batches",
    [
        config.ClassBalanced(layout="pk", classes_per_batch=4, samples_per_class=2),
        config.Shuffled(layout="shuffled", batch_size=7),
    ],
)
def test_a_batch_that_takes_too_much_leaves_nothing(tmp_path: Path, batches: config.Batches) -> None:
    prepared(tmp_path, [0, 0, 1, 1, 2, 2])
    with pytest.raises(UserError, match="expected at most"):
        run(batches, *settings(tmp_path, 2), seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["prepared"]


def test_no_prepared_labels(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; expected the output of an earlier stage"):
        run(config.Shuffled(layout="shuffled", batch_size=2), *settings(tmp_path, 2), seed=0)
