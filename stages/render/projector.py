"""Files for TensorBoard's Embedding Projector: vectors, their metadata and a thumbnail of each in one sprite."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages import store

FILES = ("vecs.tsv", "meta.tsv", "sprite.png", "projector_config.pbtxt")
SPRITE_SIDE = 8192  # pixels: TensorBoard shows no larger one
THUMBNAIL = 28  # pixels: smaller images are enlarged to about this


def write(
    folder: Path,
    embeddings: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    index: np.ndarray,
    classes: Sequence[str],
    name: str,
) -> list[Path]:
    """Write `FILES` into a folder, all in the order of the rows.

    Args:
        folder: where to.
        embeddings: float `[N, D]`.
        images: uint8 `[N, H, W, C]`.
        labels: int `[N]`, indices into `classes`.
        index: int `[N]`, the row of each in its split, by which it can be found again.
        classes: the names.
        name: what the projector calls the embedding.
    """
    from PIL import Image

    vectors, metadata, picture, settings = files = [folder / file for file in FILES]
    store.save_text(vectors, "".join("\t".join(f"{value:.6g}" for value in row) + "\n" for row in embeddings.tolist()))
    names = [" ".join(label.split()) for label in classes]
    rows = "".join(f"{i}\t{names[label]}\n" for i, label in zip(index.tolist(), labels.tolist(), strict=True))
    store.save_text(metadata, "index\tclass\n" + rows)
    sprite, (height, width) = mosaic(images)
    with store.replacing(picture) as temporary:
        Image.fromarray(sprite[:, :, 0] if sprite.shape[2] == 1 else sprite).save(temporary)
    store.save_text(
        settings,
        "embeddings {\n"
        f"  tensor_name: {json.dumps(name)}\n"
        f'  tensor_path: "{vectors.name}"\n'
        f'  metadata_path: "{metadata.name}"\n'
        "  sprite {\n"
        f'    image_path: "{picture.name}"\n'
        f"    single_image_dim: {width}\n"
        f"    single_image_dim: {height}\n"
        "  }\n"
        "}\n",
    )
    return files


def mosaic(images: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """All images row by row on a square grid, which ends black; and the height and width of each there.

    Args:
        images: uint8 `[N, H, W, C]`.

    Returns:
        uint8 `[side·height, side·width, C]` with side² ≥ N, at most 8192 pixels either way.
    """
    side = max(1, int(np.ceil(np.sqrt(len(images)))))
    thumbnails = _thumbnails(images, SPRITE_SIDE // side)
    count, height, width, channels = thumbnails.shape
    grid = np.zeros((side * side, height, width, channels), np.uint8)
    grid[:count] = thumbnails
    rows = grid.reshape(side, side, height, width, channels).swapaxes(1, 2)
    return rows.reshape(side * height, side * width, channels), (height, width)


def _thumbnails(images: np.ndarray, largest: int) -> np.ndarray:
    """The images enlarged by a whole factor to about `THUMBNAIL`, or thinned out to at most `largest` pixels a side."""
    long_side = max(images.shape[1:3])
    factor = max(1, round(THUMBNAIL / long_side))
    if long_side * factor > largest:
        factor = max(1, largest // long_side)
    step = -(-long_side * factor // largest)
    return images.repeat(factor, axis=1).repeat(factor, axis=2)[:, ::step, ::step]
