"""The history of a training, as a table and as a figure."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from stages import store
from stages.palette import BLUE, GREEN, GREY, ORANGE, VERMILION
from stages.train.checkpoint import Row

if TYPE_CHECKING:
    import pandas as pd


def write(history: list[Row], table: Path, figure: Path) -> None:
    """Write the epochs' figures to a CSV file and their curves to a PNG."""
    import pandas as pd

    rows = pd.DataFrame(history)
    text = io.StringIO()
    rows.to_csv(text, index=False)
    store.save_text(table, text.getvalue())
    _draw(rows, figure)


def _draw(rows: "pd.DataFrame", path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(11, 8.5), layout="constrained")
    (loss, kinds), (rate, quality) = figure.subplots(2, 2)
    steps = rows["step"]

    loss.plot(steps, rows["loss"], color=BLUE, marker="o", markersize=3)
    loss.set(title="Loss (mean of the epoch)", ylabel="loss")
    loss.set_ylim(bottom=0)

    shares = {"easy": GREEN, "semi_hard": ORANGE, "hard": VERMILION}
    kinds.stackplot(
        steps,
        *(rows[name] for name in shares),
        colors=list(shares.values()),
        labels=[name.replace("_", "-") for name in shares],
        alpha=0.8,
    )
    kinds.plot(steps, rows["active"], color="black", linestyle="--", label="values of the loss above 0")
    kinds.set(title="Triplets that a batch holds", ylabel="share", ylim=(0, 1))

    for name, label, color in (("val_recall_at_1", "recall@1", BLUE), ("val_map_at_r", "MAP@R", ORANGE)):
        quality.plot(steps, rows[name], color=color, marker="o", markersize=3, label=label)
    quality.set(title="Validation images, leave-one-out", ylabel="share")

    rate.plot(steps, rows["learning_rate"], color=GREY, marker="o", markersize=3)
    rate.set(title="Learning rate", ylabel="rate")
    rate.set_ylim(bottom=0)

    for axes in (loss, kinds, quality, rate):
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in (kinds, quality):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
    with store.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, metadata={"Software": None})
