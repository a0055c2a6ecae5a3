"""Sampled queries and approximate indexes: what the report, the line, the table and the captions say of them."""

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stages import config, embedded
from stages.embedded import Split
from stages.errors import UserError
from stages.evaluate import figures, found, retrieval, stage, table
from stages.evaluate.report import measure
from stages.ranking.recall import Recall
from tests.ranking.test_index import by_few, narrow
from tests.ranking.test_search import through_faiss

SYSTEMS = ("raw", "untrained", "trained")
SEARCHES = {"leave_one_out", "in_training", "votes"}


@contextmanager
def through_index():
    """Even where images and queries are few."""
    with through_faiss(), by_few():
        yield


def reported(views, splits, settings, **changes):
    with through_index() if changes.get("index", "exact") != "exact" else nullcontext():
        return measure(views, splits["train"], settings.model_copy(update=changes), seed=0)


@pytest.fixture(scope="module")
def exact(views, digit_splits, settings):
    return reported(views, digit_splits, settings)


@pytest.fixture(scope="module")
def sampled(views, digit_splits, settings):
    return reported(views, digit_splits, settings, queries=100)


@pytest.fixture(scope="module")
def by_ivf(views, digit_splits, settings):
    with narrow():
        return reported(views, digit_splits, settings, queries=100, index="ivf")


def test_sampled_queries_are_the_same_rows_of_all(sampled, digit_splits, settings):
    test = digit_splits["test"]
    asked = found.Queries.of(test, settings.model_copy(update={"queries": 100}), seed=0)
    everything = retrieval.leave_one_out(test.trained, test.labels, [1, 2, 4, 8])
    chosen = np.isin(everything.queries, asked.rows)
    measures = sampled.metrics["test"]["trained"]
    for name, values in everything.values.items():
        assert measures[name] == pytest.approx(values[chosen].mean(), abs=1e-6)
        assert measures["interval"][name]["low"] <= measures[name] <= measures["interval"][name]["high"]
    train = digit_splits["train"]
    voted = retrieval.knn_correct(test.trained, test.labels, train.trained, train.labels, 5, seed=0)
    assert measures["knn_accuracy"] == pytest.approx(voted.values["knn_accuracy"][asked.rows].mean(), abs=1e-6)
    view = sampled.views["test"]
    np.testing.assert_array_equal(view.labels, test.labels[asked.rows])
    assert np.mean(view.labels == view.nearest) == pytest.approx(measures["recall_at_1"], abs=1e-6)
    assert sum(row["queries"] for row in view.classes["trained"].values()) == chosen.sum() == 100


def test_a_sample_changes_neither_pairs_nor_threshold_and_is_counted(sampled, exact):
    counts, all_counts = sampled.metrics["counts"]["test"], exact.metrics["counts"]["test"]
    assert counts == {**all_counts, "queries": 100}
    assert (all_counts["queries"], all_counts["queries_available"]) == (300, 300)
    assert sampled.threshold == exact.threshold
    for system in SYSTEMS:
        for name in ("auc", "eer", "verification_accuracy", "in_training"):
            assert sampled.metrics["test"][system][name] == exact.metrics["test"][system][name]
    wide, narrower = (r.metrics["test"]["raw"]["interval"]["map_at_r"] for r in (sampled, exact))
    assert wide["high"] - wide["low"] > 1.3 * (narrower["high"] - narrower["low"])


def test_a_sample_of_more_than_there_are_is_all_of_them(exact, views, digit_splits, settings):
    assert reported(views, digit_splits, settings, queries=100_000).metrics == exact.metrics


def test_singletons_in_the_sample_are_no_queries(digit_splits, settings):
    test = digit_splits["test"]
    labels = test.labels.copy()
    labels[: len(labels) // 2] = 100 + np.arange(len(labels) // 2)
    split = replace(test, labels=labels)
    asked = found.Queries.of(split, settings.model_copy(update={"queries": 100}), seed=0)
    ranked = found.find({"test": asked}, digit_splits["train"], "trained", settings, 0, False)["test"].ranked
    assert asked.available == 150
    assert len(ranked.queries) + ranked.left_out == 100
    assert 30 < ranked.left_out < 70
    assert (ranked.queries >= 150).all()


@pytest.mark.parametrize("index", ["exact", "hnsw", "ivf"])
def test_constant_embedding_scores_the_chance_of_the_sampled_queries(index, digit_splits, settings):
    constant = {name: replace(split, trained=np.full_like(split.trained, 0.1)) for name, split in digit_splits.items()}
    few = {"validation": constant["validation"].rows(np.arange(60))}
    gallery = {"train": constant["train"].rows(np.arange(150))}
    told = reported(few, gallery, settings, queries=40, index=index).metrics["validation"]
    for name, level in told["chance"].items():
        if name in told["trained"] and not isinstance(level, dict) and not name.startswith("val_at_far"):
            assert told["trained"][name] == pytest.approx(level, abs=2e-6), name
    for name, level in told["chance"]["macro"].items():
        assert told["trained"]["macro"][name] == pytest.approx(level, abs=2e-6), name


def test_each_search_reports_what_the_index_found(by_ivf, exact, digit_splits):
    counts = by_ivf.metrics["counts"]["test"]
    assert counts["index"] == "ivf"
    assert set(counts["index_recall"]) == set(SYSTEMS)
    for system, recalls in counts["index_recall"].items():
        assert set(recalls) == (SEARCHES | {"nearest"} if system == "trained" else SEARCHES)
        for recall in recalls.values():
            assert 0.85 < recall["at_depth"] <= 1  # 0.95 are wanted, of others
            assert recall["at_depth"] == round(recall["at_depth"], 6)
    told = counts["index_recall"]["raw"]
    assert told["leave_one_out"]["queries"] == 50  # of the hundred those by which the index was not tuned
    assert told["leave_one_out"]["depth"] == np.bincount(digit_splits["test"].labels).max() - 1
    assert (told["votes"]["depth"], told["in_training"]["queries"]) == (5, 50)
    assert min(recall["at_depth"] for recall in told.values()) < 0.999
    assert "index" not in exact.metrics["counts"]["test"]


def test_an_index_searches_for_the_share_that_is_set(by_ivf, sampled, views, digit_splits, settings):
    with narrow():
        less = reported(views, digit_splits, settings, queries=100, index="ivf", index_recall=0.1)
    few, many = (told.metrics["counts"]["test"]["index_recall"]["untrained"] for told in (less, by_ivf))
    for search in ("leave_one_out", "votes"):
        assert few[search]["effort"] < many[search]["effort"]
        assert few[search]["at_depth"] < 0.9 < many[search]["at_depth"]
    for measure_ in ("map_at_r", "knn_accuracy"):
        found_few, found_many, exact = (told.metrics["test"]["untrained"][measure_] for told in (less, by_ivf, sampled))
        assert abs(found_many - exact) < abs(found_few - exact)


@pytest.mark.parametrize("index", ["hnsw", "ivf"])
def test_indexed_measures_are_near_the_exact_ones_and_the_same_every_time(index, sampled, digit_splits, settings):
    given = settings.model_copy(update={"queries": 100, "index": index})
    asked = {"test": found.Queries.of(digit_splits["test"], given, seed=0)}
    with through_index():
        one, other = (
            found.find(asked, digit_splits["train"], "trained", given, 0, with_nearest=True)["test"] for _ in range(2)
        )
    np.testing.assert_array_equal(one.nearest, other.nearest)
    assert one.recalls == other.recalls
    for mine, again in ((one.ranked, other.ranked), (one.voted, other.voted), (one.looked_up, other.looked_up)):
        for name, values in mine.values.items():
            np.testing.assert_array_equal(values, again.values[name])
    for name, value in (retrieval.means(one.ranked) | retrieval.means(one.voted)).items():
        share = one.recalls["votes" if name == "knn_accuracy" else "leave_one_out"].at_depth
        assert share is not None
        assert value == pytest.approx(sampled.metrics["test"]["trained"][name], abs=1 - share + 0.01), name


def test_line_table_and_captions_say_how_much_was_found(by_ivf, sampled, exact, tmp_path):
    counts = by_ivf.metrics["counts"]["test"]
    share = table.number(counts["index_recall"]["trained"]["leave_one_out"]["at_depth"])
    depth = counts["index_recall"]["trained"]["leave_one_out"]["depth"]
    words = f"ivf found {share} of the {depth} nearest"
    assert table.headline(by_ivf.metrics).endswith(f", {words}")
    for refused, told in (
        (None, "all were compared: too few images or queries for ivf"),
        (0.61, "all were compared: ivf found 0.6100 of the 5 nearest at most"),
    ):
        recalls = {"trained": {"votes": Recall.of_all(5, 100, refused).as_dict()}}
        assert table.found_by_index({"index": "ivf", "index_recall": recalls}, "votes") == [told]
    lines = table.table(by_ivf.metrics, by_ivf.threshold).splitlines()
    assert f"trained network: {words}." in lines
    assert "recall, MAP@R: 100 queries, a sample of 300; k-NN as many." in lines
    assert max(map(len, lines)) <= 120
    titles = captions(by_ivf, tmp_path)
    assert f"Retrieval, test\n100 queries, a sample of 300, leave-one-out\n{words}" in titles
    assert any(title.startswith("Class of the nearest") and "\nivf found " in title for title in titles)
    assert f"Recall@1 of each class\ntest\n100 queries, a sample of 300\n{words}" in titles
    assert table.headline(by_ivf.metrics).startswith("300 test images, 100 of them as queries: recall@1 ")
    assert "Retrieval, test\n300 queries, leave-one-out" in captions(exact, tmp_path)
    assert not any("found" in title for title in captions(sampled, tmp_path))


def captions(report, folder):
    titles = []
    with pytest.MonkeyPatch.context() as patch:
        for name in dir(figures):
            if name.startswith("draw_"):
                patch.setattr(figures, name, lambda *given: titles.append(given[-1]))
        stage.write_plots(report, [str(digit) for digit in range(10)], [1, 2, 4, 8], folder)
    return titles


def test_files_that_are_read_as_they_are_used_give_the_same(exact, digit_splits, settings, tmp_path):
    def mapped(name, array):
        np.save(tmp_path / f"{name}.npy", array)
        return np.load(tmp_path / f"{name}.npy", mmap_mode="r")

    on_disk = {
        name: Split(
            mapped(f"{name}_images", split.images),
            split.labels,
            mapped(f"{name}_trained", split.trained),
            mapped(f"{name}_untrained", split.untrained),
        )
        for name, split in digit_splits.items()
    }
    views = {name: on_disk[name] for name in ("validation", "test")}
    assert reported(views, on_disk, settings).metrics == exact.metrics


def test_release_takes_a_file_out_of_memory(tmp_path):
    np.save(tmp_path / "large.npy", np.ones((20_000, 100)))
    large = np.load(tmp_path / "large.npy", mmap_mode="r")

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[2])  # pages of files

    before = resident()
    assert large.sum() == 2_000_000
    assert resident() > before + 3000
    embedded.release(large[1:].reshape(-1))
    assert resident() < before + 500
    assert large.sum() == 2_000_000
    embedded.release(np.ones(3))


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("evaluate.index=annoy", "evaluate.index: found 'annoy', expected 'exact', 'hnsw' or 'ivf'"),
        ("evaluate.queries=0", "evaluate.queries: found 0, expected greater than or equal to 1"),
    ],
)
def test_other_settings_are_refused_in_a_line(override, line):
    with pytest.raises(UserError) as refused:
        config.compose([override])
    assert str(refused.value) == f"conf: {line}"
