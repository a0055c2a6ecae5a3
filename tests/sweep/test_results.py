"""The answer in words says which is best, what stands beside it, and what failed and why."""

import csv
import io

import pytest

from stages.sweep.measure import Measure
from stages.sweep.ranked import rank
from stages.sweep.results import csv_text, table
from tests.sweep.swept import MARGINS, SIZES, grid, job, jobs

MAP_AT_R = Measure("map_at_r")


def rows_of(records, measure=MAP_AT_R):
    return list(csv.DictReader(io.StringIO(csv_text(records, rank(records, measure), measure))))


def table_of(records, measure=MAP_AT_R, **limits):
    return table(rank(records, measure), measure, **limits)


def columns_of(text):
    """Below each title what is in its column."""
    over, titles, rule, *rest = text.split("\n")
    body = list(until_empty(rest))
    assert set(rule) == {"-"}
    starts = [i for i in range(len(titles)) if titles[i] != " " and (i == 0 or titles[i - 2 : i] == "  ")]
    ends = [*starts[1:], None]
    return {
        f"{over[begin:end].strip()} {titles[begin:end].strip()}".strip(): [line[begin:end].strip() for line in body]
        for begin, end in zip(starts, ends, strict=True)
    }


def until_empty(lines):
    for line in lines:
        if not line or line.startswith("…"):
            return
        yield line


SEEDED = {(m, s): None if (m, s) == (0.1, 2) else 0.9 - m / 10 + s / 100 for m in (0.1, 0.2) for s in (0, 1, 2)}


def test_csv_has_a_row_a_job_the_best_first():
    records = grid(MARGINS, SIZES, lost=[1])
    rows = rows_of(records)
    assert [row["job"] for row in rows] == ["5", "4", "3", "2", "0", "1"]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5", ""]
    assert list(rows[0]) == [
        *("rank", "job", "status", "loss.margin", "network.embedding_dim", "validation.map_at_r"),
        *("validation.recall_at_1", "validation.verification_accuracy", "validation.eer"),
        *("test.map_at_r", "test.recall_at_1", "test.verification_accuracy", "test.eer"),
        *("embedding_dim", "parameters", "train_seconds", "step_ms", "reused", "run_id", "error"),
    ]
    best, failed = rows[0], rows[-1]
    assert (best["loss.margin"], best["network.embedding_dim"], best["embedding_dim"]) == ("0.5", "16", "16")
    assert (best["validation.map_at_r"], best["test.map_at_r"], best["test.eer"]) == ("0.975", "0.965", "0.035")
    assert (best["train_seconds"], best["status"], best["error"]) == ("15", "finished", "")
    assert (failed["status"], failed["error"]) == ("failed", "loss.margin: found -1, expected more")
    assert {failed[name] for name in failed if name.startswith(("validation", "test", "train"))} == {""}


def test_csv_of_several_seeds_has_their_mean_and_deviation_in_each_of_their_rows():
    rows = rows_of(jobs(SEEDED, "loss.margin", "seed"))
    assert [(row["loss.margin"], row["seed"]) for row in rows] == [(m, s) for m in ("0.1", "0.2") for s in "012"]
    assert {row["validation.map_at_r.mean"] for row in rows[:3]} == {"0.895"}
    assert {row["validation.map_at_r.sd"] for row in rows[3:]} == {"0.01"}
    assert [row["validation.map_at_r"] for row in rows] == ["0.89", "0.9", "", "0.88", "0.89", "0.9"]


def test_csv_of_another_measure_has_it_on_both_splits():
    first = rows_of(grid(MARGINS), Measure("macro.map_at_r"))[0]
    assert float(first["validation.macro.map_at_r"]) == float(first["validation.map_at_r"]) / 2
    assert float(first["test.macro.map_at_r"]) == float(first["test.map_at_r"]) / 2


def test_values_stand_in_the_csv_as_they_were_set():
    rows = rows_of([job(0, ["a=0.123456789", "b='x, y'"]), job(1, ["a=1.0", "b=null"])])
    assert [(row["a"], row["b"]) for row in rows] == [("0.123456789", "x, y"), ("1.0", "null")]


def test_table_names_what_each_column_is_of():
    columns = columns_of(table_of(grid(MARGINS, SIZES)))
    assert list(columns) == [
        *("rank", "margin", "embedding_dim", "validation MAP@R"),
        *("test MAP@R", "test recall@1", "test verification", "training seconds"),
    ]
    assert columns["margin"] == ["0.5", "0.5", "0.2", "0.2", "0.1", "0.1"]
    assert columns["validation MAP@R"][0] == "0.9750"
    assert columns["test MAP@R"][0] == "0.9650"
    assert columns["training seconds"][0] == "15.0"


def test_table_has_the_embedding_size_beside_other_axes():
    assert columns_of(table_of(grid(MARGINS)))["dim"] == ["8", "8", "8"]


def test_table_of_another_measure_says_which_way_is_better():
    text = table_of(grid(MARGINS), Measure("eer"))
    assert "Ranked by validation EER, lower is better." in text
    assert columns_of(text)["validation EER"] == ["0.0400", "0.0700", "0.1000"]
    assert {"test EER", "test MAP@R"} < set(columns_of(text))


def test_table_shows_deviations_and_which_seeds_are_missing():
    text = table_of(jobs(SEEDED, "loss.margin", "seed"))
    columns = columns_of(text)
    assert columns["validation MAP@R"] == ["0.8950 ± 0.0071", "0.8900 ± 0.0100"]
    assert columns["seeds"] == ["2 of 3", "3"]
    assert "± s.d. over seeds" in text


def test_table_marks_the_fronts_and_explains_the_marks():
    scores = {(2,): 0.8, (4,): 0.7, (8,): 0.9}
    records = jobs(scores, "network.embedding_dim")
    text = table_of(records)
    assert columns_of(text)["rank"] == ["1 *+", "2 *+", "3"]
    assert (
        "\n* Pareto front: the best of its embedding size or any smaller.\n+ Pareto front: the best of its tr" in text
    )
    of_one_size = table_of(jobs({(0.1,): 0.8, (0.2,): 0.7}, "loss.margin"))
    assert columns_of(of_one_size)["rank"] == ["1 +", "2"]
    assert "embedding size" not in of_one_size


def test_table_stops_at_the_limit_and_says_how_many_more_there_are():
    records = grid(MARGINS, SIZES)
    text = table_of(records, limit=4)
    assert columns_of(text)["rank"][-1].startswith("4")
    assert "… and 2 more in results.csv" in text
    assert "more in results.csv" not in table_of(records, limit=6)


def test_failed_jobs_are_listed_with_what_was_set_and_why():
    lines = table_of(jobs(SEEDED, "loss.margin", "seed")).split("\n")
    assert lines[-2:] == [
        "1 job failed; each has a log.txt in the folder of its number:",
        "  2  loss.margin=0.1 seed=2: loss.margin: found -1, expected more",
    ]
    all_failed = table_of(grid(MARGINS, SIZES, lost=range(6)), limit=2)
    assert "6 jobs failed" in all_failed
    assert all_failed.endswith("… and 4 more in results.csv, all of them: loss.margin: found -1, expected more")
    assert columns_of(all_failed)["rank"] == ["–", "–"]


def test_table_of_two_axes_with_long_names_fits_a_terminal():
    axes = ("optimizer.learning_rate.peak", [0.0001, 0.0123]), ("network.embedding_dim", [1024, 2048]), ("seed", [0, 1])
    assert max(map(len, table_of(grid(*axes, lost=[1])).split("\n")[:8])) <= 110


@pytest.mark.parametrize("records", [[], [job(0, [])], [job(0, [], None)]], ids=["none", "one", "one failed"])
def test_a_sweep_of_almost_nothing_has_a_table_too(records):
    assert "Ranked by validation MAP@R" in table_of(records)
