"""Files for TensorBoard's Embedding Projector: vectors, their metadata and a thumbnail of each in one sprite.

`python -m stages.render.projector` opens TensorBoard on them.
"""

import argparse
import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from stages import config, naming, store
from stages.command import call_or_exit
from stages.errors import UserError
from stages.render.thumbnails import picture

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
    vectors, metadata, sprite, settings = files = [folder / file for file in FILES]
    store.save_text(vectors, "".join("\t".join(f"{value:.6g}" for value in row) + "\n" for row in embeddings.tolist()))
    names = [naming.one_line(label) for label in classes]
    rows = "".join(f"{names[label]}\t{i}\n" for i, label in zip(index.tolist(), labels.tolist(), strict=True))
    store.save_text(metadata, "class\tindex\n" + rows)
    grid, (height, width) = mosaic(images)
    with store.replacing(sprite) as temporary:
        picture(grid).save(temporary)
    store.save_text(
        settings,
        "embeddings {\n"
        f"  tensor_name: {json.dumps(name)}\n"
        f'  tensor_path: "{vectors.name}"\n'
        f'  metadata_path: "{metadata.name}"\n'
        "  sprite {\n"
        f'    image_path: "{sprite.name}"\n'
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


def show(folder: Path, port: int) -> None:
    """Run TensorBoard on the files, on this machine only, until Ctrl+C.

    Raises:
        UserError: a file is missing, or the port is taken.
    """
    for file in FILES:
        if not (folder / file).is_file():
            raise UserError(f"{folder / file}: no such file; expected the output of the render stage (run `dvc repro`)")
    url = _start_tensorboard(folder, port)
    print(f"{url}#projector shows {folder}; Ctrl+C ends it", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()


def _start_tensorboard(folder: Path, port: int) -> str:
    # By this module TensorBoard knows that it is to do without TensorFlow, which takes 4 s to import and makes remarks.
    sys.modules["tensorboard.compat.notf"] = ModuleType("notf")
    from tensorboard import default, program  # type: ignore[import-untyped]

    server = program.TensorBoard(default.get_plugins())
    server.configure(logdir=str(folder), host="127.0.0.1", port=port, load_fast="false")
    try:
        return server.launch()
    except program.TensorBoardServerException as error:
        raise UserError(f"--port: found {port}, expected a free one ({' '.join(str(error).split())})") from None


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.render.projector", description="Open the projector.")
    parser.add_argument("--port", type=int, required=True, help="where TensorBoard listens, on this machine only")
    options = parser.parse_args()
    call_or_exit("projector", lambda: show(Path(config.load().paths.projector), options.port), debug=False)


if __name__ == "__main__":
    _main()
