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
VIEWS = {
    "test": "test",
    "test_seen": "test, classes seen in training",
    "test_unseen": "test, classes held out of training",
}
"""Of the test images: the others than `test` only where classes were held out."""


def table(metrics: Mapping[str, Any], threshold: Mapping[str, Any]) -> str:
    """The headline measures of each system, as aligned text: on test, and apart on its seen and unseen classes.

    Args:
        metrics: content of `evaluate.json`.
        threshold: content of `threshold.json`.

    Raises:
        KeyError: the metrics lack a view, a system or a measure.
    """
    views = [view for view in VIEWS if view == "test" or view in metrics]
    blocks = [[_block(metrics, view), "", *_notes(metrics["counts"][view], threshold, view), ""] for view in views]
    return "\n".join([*(line for block in blocks for line in block), *_legend(threshold)])


def headline(metrics: Mapping[str, Any], view: str = "test") -> str:
    """The trained network's first recall and MAP@R, in a few words."""
    measures = metrics[view]["trained"]
    shown = [f"{title} {number(measures[name])}" for name, title in list(headlines(measures).items())[:2]]
    counts = metrics["counts"][view]
    some = f", {counts['queries']:,} of them as queries" if counts["queries"] < counts["queries_available"] else ""
    return f"{counts['items']:,} {view} images{some}: {', '.join([*shown, *found_by_index(counts, 'leave_one_out')])}"


def number(value: float | None) -> str:
    """A share in four digits, a dash for None; what only rounds to 0 or 1 is told apart from it.

    >>> number(0.5), number(0.99999), number(None)
    ('0.5000', '>0.9999', '–')
    """
    if value is None:
        return "–"
    return ">0.9999" if 0.99995 <= value < 1 else "<0.0001" if 0 < value < 0.00005 else f"{value:.4f}"


def natural_pairs(counts: Mapping[str, Any]) -> str:
    """How many pairs were compared, and whether that is all of them.

    >>> natural_pairs({"natural_pairs": 1000, "natural_pairs_available": 4950})
    '1,000 pairs (sampled)'
    """
    sampled = "all" if counts["natural_pairs"] == counts["natural_pairs_available"] else "sampled"
    return f"{counts['natural_pairs']:,} pairs ({sampled})"


def queries(counts: Mapping[str, Any]) -> str:
    """How many queries looked for their neighbours, and of how many they are a sample.

    >>> queries({"queries": 1000, "queries_available": 5000}), queries({"queries": 50, "queries_available": 50})
    ('1,000 queries, a sample of 5,000', '50 queries')
    """
    of = f", a sample of {counts['queries_available']:,}" if counts["queries"] < counts["queries_available"] else ""
    return f"{counts['queries']:,} queries{of}"


def found_by_index(counts: Mapping[str, Any], search: str, system: str = "trained") -> list[str]:
    """Which share of a search's neighbours an approximate index found, as words; none where the search is exact."""
    recall = counts.get("index_recall", {}).get(system, {}).get(search)
    if recall is None or recall["at_depth"] is None:
        return []
    nearest = f"the {recall['depth']:,} nearest" if recall["depth"] > 1 else "the nearest"
    if recall["refused"] is not None:
        return [f"all were compared: {counts['index']} found {number(recall['refused'])} of {nearest} at most"]
    if recall["effort"] is None:
        return [f"all were compared: too few images or queries for {counts['index']}"]
    return [f"{counts['index']} found {number(recall['at_depth'])} of {nearest}"]


def pictures(paths: config.Paths) -> list[Path]:
    """The PNG and HTML files that there are in the folders of figures, maps last."""
    folders = dict.fromkeys(map(Path, (paths.plots, paths.measures, paths.maps)))
    return [file for folder in folders for file in sorted([*folder.glob("*.png"), *folder.glob("*.html")])]


def _block(metrics: Mapping[str, Any], view: str) -> str:
    counts, systems = metrics["counts"][view], metrics[view]
    heading = f"{VIEWS[view]}: {counts['items']:,} images in {counts['classes']:,} classes"
    cells = [["", *SYSTEMS.values()]]
    for name, title in headlines(systems["trained"]).items():
        cells.append([title, *(_cell(systems[system], name) for system in SYSTEMS)])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join([heading, "", lines[0], "-" * max(map(len, lines)), *lines[1:]])


def headlines(measures: Mapping[str, Any]) -> dict[str, str]:
    """Name and title of the measures that tell most: the first recall, then the others that there are."""
    recall = next(name for name in measures if name.startswith("recall_at_"))
    return {
        recall: f"recall@{recall.removeprefix('recall_at_')}",
        "map_at_r": "MAP@R",
        "knn_accuracy": "k-NN accuracy",
        "verification_accuracy": "verification",
        "verification_accuracy_sd": "  s.d. of 10 folds",
        "auc": "AUC",
        "eer": "EER",
        **{name: f"VAL@FAR={name.removeprefix(_VAL)}" for name in measures if name.startswith(_VAL)},
    }


_VAL = "val_at_far_"


def _cell(measures: Mapping[str, Any], name: str) -> str:
    """The number with its interval, as far as there is either."""
    if name.endswith("_sd") and name not in measures:
        return ""  # of chance
    value, interval = measures[name], measures.get("interval", {}).get(name)
    if value is None or interval is None:
        return number(value)
    return f"{number(value)} ({number(interval['low'])}–{number(interval['high'])})"


def _notes(counts: Mapping[str, Any], threshold: Mapping[str, Any], view: str) -> list[str]:
    """What the block above was measured on, and what the threshold does there."""
    lines = []
    if counts["queries"] < counts["queries_available"]:
        lines.append(f"recall, MAP@R: {queries(counts)}; k-NN as many.")
    for system, title in SYSTEMS.items():
        lines.extend(f"{title}: {words}." for words in found_by_index(counts, "leave_one_out", system))
    if counts["queries_left_out"]:
        lines.append(f"{counts['queries_left_out']:,} images have no other of their class and are no queries.")
    if counts["knn_queries_left_out"]:
        lines.append(f"k-NN: {counts['knn_queries_left_out']:,} images of classes that training lacks are no queries.")
    if counts["balanced_pairs"]:
        lines.append(
            f"verification: accuracy over 10 folds disjoint in {counts['balanced_folds_disjoint_in']}, "
            f"{counts['balanced_pairs']:,} balanced pairs."
        )
    lines.append(f"AUC, EER, VAL: {natural_pairs(counts)}, {counts['natural_pairs_same']:,} of them of one class.")
    if threshold["threshold"] is not None:
        rates = threshold[view]
        by_head = threshold["scored_by"] == "head"
        chosen = f"probability {threshold['probability']:.4g}" if by_head else f"{threshold['threshold']:.4g}"
        lines.append(
            f"threshold {chosen}, chosen on validation ({threshold['by']}): "
            f"FAR {number(rates['far'])}, VAL {number(rates['val'])}."
        )
    return lines


def _legend(threshold: Mapping[str, Any]) -> list[str]:
    """What holds for all blocks."""
    lines = ["In brackets: 95 % intervals, bootstrap over images. Of EER lower is better, of all others higher."]
    if threshold["threshold"] is None:
        lines.append(f"No threshold: {threshold['because']}.")
    if threshold["scored_by"] == "head":
        lines.append("trained network: verification, AUC, EER, VAL by its head; recall, MAP@R, k-NN by the distance.")
    return lines


def show(params_file: str | Path) -> None:
    """Print the table of the last run, and where its pictures are.

    Args:
        params_file: the settings, which say where.

    Raises:
        UserError: there is no result, or it is not that of the evaluate stage.
    """
    paths = config.load(params_file).paths
    source = Path(paths.metrics) / "evaluate.json"
    try:
        print(table(store.load_json(source), store.load_json(source.with_name("threshold.json"))))
    except (KeyError, TypeError, StopIteration):
        raise UserError(f"{source}: found other content, expected that of the evaluate stage") from None
    print("\npictures:", *(f"  {file}" for file in pictures(paths)), sep="\n")


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.evaluate.table", description="Print the result.")
    parser.add_argument(
        "--params", default="params.yaml", help="the settings that say where it is (default: %(default)s)"
    )
    options = parser.parse_args()

    from stages.command import call_or_exit

    call_or_exit("table", lambda: show(options.params), debug=False)


if __name__ == "__main__":
    _main()
