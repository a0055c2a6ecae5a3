"""The result as a table on the terminal: `python -m stages.evaluate.table` prints it from the files.

Nothing heavy is imported here: it ends every `make repro`.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages import config, store
from stages.errors import UserError

SYSTEMS = {
    "raw": "raw pixels",
    "untrained": "untrained network",
    "trained": "trained network",
    "chance": "chance",
}


def table(metrics: Mapping[str, Any], split: str = "test", scored_by: str = "distance") -> str:
    """The headline measures of each system on a split, as aligned text.

    Args:
        metrics: content of `evaluate.json`.
        split: `test` or `validation`.
        scored_by: what told the trained network's pairs apart, `distance` or `head`.

    Raises:
        KeyError: the metrics lack a split, a system or a measure.
    """
    counts = metrics["counts"][split]
    columns = _columns(metrics[split]["trained"])
    rows = [[f"{split}, {counts['items']:,} images", *(title for title, _ in columns)]]
    for system, label in SYSTEMS.items():
        measures = metrics[split][system]
        rows.append([label, *(_cell(measures, name) for _, name in columns)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join([*lines, "", *_notes(counts, scored_by)])


def headline(metrics: Mapping[str, Any], split: str = "test") -> str:
    """The trained network's first recall and MAP@R on a split, in a few words."""
    measures = metrics[split]["trained"]
    shown = [f"{title} {_cell(measures, name)}" for title, name in _columns(measures)[:2]]
    return f"{metrics['counts'][split]['items']:,} {split} images: {', '.join(shown)}"


def pictures(paths: config.Paths) -> list[Path]:
    """The PNG files that there are in the folders of figures, maps last."""
    folders = dict.fromkeys((Path(paths.plots), Path(paths.maps)))
    return [file for folder in folders for file in sorted(folder.glob("*.png"))]


def _columns(measures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Title and name of the measures shown: the first recall, then the others that there are."""
    recall = next(name for name in measures if name.startswith("recall_at_"))
    titles = {
        recall: f"recall@{recall.removeprefix('recall_at_')}",
        "map_at_r": "MAP@R",
        "knn_accuracy": "k-NN",
        "verification_accuracy": "verification",
        "auc": "AUC",
        "eer": "EER",
        "val_at_far_1e-3": "VAL@FAR=1e-3",
    }
    return [(title, name) for name, title in titles.items()]


def _cell(measures: Mapping[str, Any], name: str) -> str:
    value, deviation = measures[name], measures.get(f"{name}_sd")
    if value is None:
        return "–"
    return f"{value:.4f}" if deviation is None else f"{value:.4f} ± {deviation:.4f}"


def _notes(counts: Mapping[str, Any], scored_by: str) -> list[str]:
    lines = []
    if counts["queries_left_out"]:
        lines.append(f"{counts['queries_left_out']:,} images have no other of their class and are no queries.")
    if counts["verification_pairs"]:
        lines.append(
            f"verification: accuracy ± s.d. over 10 folds disjoint in {counts['verification_folds_disjoint_in']}, "
            f"{counts['verification_pairs']:,} balanced pairs."
        )
    sampled = "all" if counts["roc_pairs"] == counts["roc_pairs_available"] else "sampled"
    lines.append(
        f"AUC, EER, VAL: {counts['roc_pairs']:,} pairs ({sampled}), {counts['roc_pairs_same']:,} of them same."
    )
    if scored_by == "head":
        lines.append("trained network: verification, AUC, EER, VAL by its head; recall, MAP@R, k-NN by the distance.")
    return lines


def _scored_by(source: Path) -> str:
    threshold = store.load_json(source)
    if not (isinstance(threshold, dict) and isinstance(threshold.get("scored_by"), str)):
        raise UserError(f"{source}: found other content, expected that of the evaluate stage")
    return threshold["scored_by"]


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.evaluate.table", description="Print the result.")
    parser.add_argument(
        "--params", default="params.yaml", help="the settings that say where it is (default: %(default)s)"
    )
    options = parser.parse_args()

    def show() -> None:
        paths = config.load(options.params).paths
        source = Path(paths.metrics) / "evaluate.json"
        try:
            print(table(store.load_json(source), scored_by=_scored_by(source.with_name("threshold.json"))))
        except (KeyError, TypeError, StopIteration):
            raise UserError(f"{source}: found other content, expected that of the evaluate stage") from None
        print("\npictures:", *(f"  {file}" for file in pictures(paths)), sep="\n")

    from stages.command import call_or_exit

    call_or_exit("table", show, debug=False)


if __name__ == "__main__":
    _main()
