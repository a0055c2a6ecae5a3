import io
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from stages.prepare import blocks
from stages.prepare.images import Chosen


@pytest.mark.parametrize("count", [1, 1024, 1025, 3000])
def test_blocks_are_written_as_numpy_would_write_the_whole(tmp_path: Path, count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3000, 5, 4, 3), np.uint8)
    rows = np.random.default_rng(1).permutation(3000)[:count]
    expected = io.BytesIO()
    np.save(expected, images[rows])
    with tqdm(disable=True) as progress:
        blocks.save(tmp_path / "images.npy", Chosen(images, rows), progress)
    assert (tmp_path / "images.npy").read_bytes() == expected.getvalue()


def test_an_image_larger_than_a_block_is_written_alone(tmp_path: Path) -> None:
    assert [len(block) for block in blocks.blocks(3, size=1 << 40)] == [1, 1, 1]
    assert list(blocks.blocks(0, size=1)) == []
