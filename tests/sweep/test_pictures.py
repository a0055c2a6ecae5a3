"""The pictures show what was measured, at the values that were set, with all of the text on the page."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from stages.palette import BLUE, VERMILION
from stages.sweep import axes, pictures
from stages.sweep.measure import Measure
from stages.sweep.pictures import heatmap, page, parallel
from stages.sweep.ranked import Cost, pareto, rank
from tests.sweep.swept import MARGINS, SIZES, grid, job, jobs

MAP_AT_R, EER = Measure("map_at_r"), Measure("eer")
LOSSES = ("loss", ["semi_hard", "batch_hard", "batch_all"])
SEEDS = ("seed", [0, 1, 2])


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws the pictures of some jobs and returns their figures by the names of the files that they would be in."""
    saved: dict[str, Figure] = {}

    def keep(figure, path):
        figure.draw_without_rendering()  # lays it out, as saving does
        saved[path.name] = figure
        return path

    monkeypatch.setattr(page, "save", keep)

    def draw(records, measure=MAP_AT_R):
        saved.clear()
        paths = pictures.draw(rank(records, measure), axes.find(records), measure, tmp_path)
        assert [path.name for path in paths] == list(saved)
        return dict(saved)

    return draw


def search(count, failed=()):
    """Trials of a search over numbers and names."""
    chance = np.random.default_rng(0)
    found = []
    for i in range(count):
        margin, peak = (float(f"{x:.4g}") for x in 10 ** chance.uniform([-2, -5], [1, -1]))
        size, classes = 2 ** int(chance.integers(1, 7)), int(chance.integers(2, 40))
        loss = str(chance.choice(LOSSES[1]))
        overrides = [f"loss={loss}", f"loss.margin={margin}", f"network.embedding_dim={size}"]
        overrides += [f"optimizer.learning_rate.peak={peak}", f"batches.classes_per_batch={classes}"]
        score = None if i in failed else 0.9 + 0.1 * float(chance.random())
        found.append(job(i, overrides, score, **({} if score is None else {"embedding_dim": size})))
    return found


@pytest.mark.parametrize(
    ("records", "names"),
    [
        pytest.param(grid(MARGINS), ["line.png", "pareto.png"], id="numbers"),
        pytest.param(grid(LOSSES, SEEDS), ["line.png", "pareto.png"], id="names"),
        pytest.param(grid(MARGINS, SIZES), ["heatmap.png", "pareto.png"], id="two axes"),
        pytest.param(grid(MARGINS, SIZES, LOSSES), ["parallel.png", "pareto.png"], id="three axes"),
        pytest.param(
            jobs({(i, i * i): i / 10 for i in range(1, 9)}, "a", "b"), ["parallel.png", "pareto.png"], id="two, sparse"
        ),
        pytest.param(grid(SEEDS), [], id="seeds alone"),
        pytest.param(grid(MARGINS, lost=range(3)), [], id="all failed"),
        pytest.param([], [], id="no jobs"),
    ],
)
def test_pictures_fit_the_number_of_axes(tmp_path, records, names):
    paths = pictures.draw(rank(records, MAP_AT_R), axes.find(records), MAP_AT_R, tmp_path)
    assert [path.name for path in paths] == names
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert all(np.ptp(imread(path)) == 1 for path in paths)


def cells_of(figure):
    """What is written in each cell, by column and row."""
    return {tuple(text.get_position()): text.get_text() for text in figure.axes[0].texts}


def test_heatmap_has_each_score_in_the_cell_of_its_values(drawn):
    figure = drawn(grid(MARGINS, SIZES))["heatmap.png"]
    plot, bar = figure.axes
    assert (plot.get_xlabel(), plot.get_ylabel()) == ("loss.margin", "network.embedding_dim")
    assert [label.get_text() for label in plot.get_xticklabels()] == ["0.1", "0.2", "0.5"]
    assert [label.get_text() for label in plot.get_yticklabels()] == ["2", "16"]
    assert cells_of(figure) == {(i // 2, i % 2): f"{0.9 + 0.015 * i:.4f}" for i in range(6)}
    assert plot.get_ylim() == (-0.5, 1.5)
    assert bar.get_ylabel() == "validation MAP@R (higher is better)"


def framed(figure):
    return [patch.get_xy() for patch in figure.axes[0].patches if to_hex(patch.get_edgecolor()) == VERMILION.lower()]


def test_heatmap_frames_the_best_and_those_equal_to_it(drawn):
    assert framed(drawn(grid(MARGINS, SIZES))["heatmap.png"]) == [(1.5, 0.5)]
    assert framed(drawn(grid(MARGINS, SIZES), EER)["heatmap.png"]) == [(1.5, 0.5)]
    equal = jobs({(margin, size): 1.0 for margin in (0.1, 0.2) for size in (2, 4)}, "loss.margin", "b")
    assert len(framed(drawn(equal)["heatmap.png"])) == 4


def test_heatmap_hatches_what_has_no_score_and_says_why(drawn):
    figure = drawn(grid(MARGINS, SIZES, lost=[0])[:-1])["heatmap.png"]
    hatched = [patch.get_xy() for patch in figure.axes[0].patches if patch.get_hatch()]
    assert hatched == [(-0.5, -0.5), (1.5, 0.5)]
    assert [cells_of(figure)[at] for at in ((0, 0), (2, 1))] == ["failed", "–"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["failed or without a figure; – not run", "the best"]


def test_heatmap_of_several_seeds_has_their_deviation_and_which_are_missing(drawn):
    figure = drawn(grid(MARGINS, SIZES, SEEDS, lost=[0]))["heatmap.png"]
    assert cells_of(figure)[0, 0] == "0.9075\n± 0.0035\n2 of 3"
    assert cells_of(figure)[2, 1] == "0.9800\n± 0.0050"
    assert figure.get_suptitle() == "validation MAP@R\nmean ± s.d. over 3 seeds"


def test_heatmap_can_be_read_on_every_colour(drawn):
    plot = drawn(grid(("a", range(8)), ("b", range(8))))["heatmap.png"].axes[0]
    faces = {
        (round(x + 0.5), round(y + 0.5)): p.get_facecolor() for p in plot.patches for x, y in [p.get_xy()] if p.fill
    }
    for text in plot.texts:
        brightness = np.dot(faces[tuple(text.get_position())][:3], (0.299, 0.587, 0.114))
        assert (text.get_color() == "white") == (brightness < 0.5)
    assert {text.get_color() for text in plot.texts} == {"white", "black"}


def test_heatmap_of_very_many_cells_has_no_numbers_in_them(drawn):
    assert not cells_of(drawn(grid(("a", range(21)), ("b", range(3))))["heatmap.png"])


def line_of(plot, colour=BLUE):
    return next(line for line in plot.get_lines() if to_hex(line.get_color()) == colour.lower())


def test_line_joins_numbers_and_is_logarithmic_where_they_are_far_apart(drawn):
    near = drawn(grid(MARGINS))["line.png"].axes[0]
    assert (list(line_of(near).get_xdata()), line_of(near).get_linestyle()) == ([0.1, 0.2, 0.5], "-")
    assert list(line_of(near).get_ydata()) == pytest.approx([0.9, 0.93, 0.96])
    assert near.get_xscale() == "linear"
    far = drawn(grid(("loss.margin", [0.01, 0.1, 0.2])))["line.png"].axes[0]
    assert (far.get_xscale(), far.get_xlabel()) == ("log", "loss.margin (log scale)")
    assert [label.get_text() for label in far.get_xticklabels()] == ["0.01", "0.1", "0.2"]
    assert drawn(grid(("a", [0, 0.1, 100])))["line.png"].axes[0].get_xscale() == "linear"


def test_line_of_names_has_a_point_for_each_in_their_order(drawn):
    plot = drawn(grid(LOSSES))["line.png"].axes[0]
    assert (list(line_of(plot).get_xdata()), line_of(plot).get_linestyle()) == ([0, 1, 2], "None")
    assert [label.get_text() for label in plot.get_xticklabels()] == LOSSES[1]


def test_line_shows_the_best_what_failed_and_the_deviation_over_seeds(drawn):
    plot = drawn(grid(MARGINS, SEEDS, lost=[0, 1, 2]))["line.png"].axes[0]
    assert list(line_of(plot, VERMILION).get_xdata()) == [0.5]
    marked = {line.get_label(): list(line.get_xdata()) for line in plot.get_lines()}
    assert marked["failed or without a figure"] == [0.1]
    (bars,) = plot.collections
    spans = [float(segment[1, 1] - segment[0, 1]) for segment in bars.get_segments()]
    assert spans == pytest.approx([0.02, 0.02])


@pytest.mark.parametrize("measure", [MAP_AT_R, EER])
def test_better_is_up_in_every_picture(drawn, measure):
    records = grid(MARGINS)
    worst, *_, best = line_of(drawn(records, measure)["line.png"].axes[0]).get_ydata()
    for name in ("line.png", "pareto.png"):
        plot = drawn(records, measure)[name].axes[0]
        heights = plot.transData.transform([(0.2, worst), (0.2, best)])[:, 1]
        assert heights[0] < heights[1]
    scale = page.Scale.of([worst, best], measure)
    assert (scale.height(worst), scale.height(best)) == (0, 1)
    assert sum(scale.colour(worst)) > sum(scale.colour(best))


def test_outliers_are_left_off_the_scale_and_counted(drawn):
    scores = {(i,): 0.9 + i / 100 for i in range(1, 9)} | {(9,): 0.1}
    figure = drawn(jobs(scores, "a"))["line.png"]
    assert min(figure.axes[0].get_ylim()) > 0.88
    assert "1 far worse, below the axis" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_cell_off_the_scale_has_a_colour_of_its_own(drawn):
    scores = {(x, y): 0.9 + (3 * x + y) / 100 for x in range(3) for y in range(3)} | {(0, 0): 0.1}
    figure = drawn(jobs(scores, "a", "b"))["heatmap.png"]
    faces = {to_hex(patch.get_facecolor()) for patch in figure.axes[0].patches if patch.get_fill()}
    assert heatmap.FAR in faces
    assert len(faces) == 9
    assert "far worse: off the scale" in [text.get_text() for text in figure.legends[0].get_texts()]


def heights_of(figure):
    """Of each line that ends at a score, thickest last, where it crosses the axes."""
    lines = [
        line for line in figure.axes[0].get_lines() if list(line.get_xdata())[:1] == [0] and len(line.get_xdata()) > 2
    ]
    return [list(line.get_ydata()) for line in lines]


def test_parallel_has_a_line_a_group_the_best_on_top(drawn):
    records = grid(MARGINS, SIZES, LOSSES, lost=[4])
    figure = drawn(records)["parallel.png"]
    found = heights_of(figure)
    assert len(found) == len(records)
    lost, *scored = found
    assert len(lost) == 3
    ends = [line[-1] for line in scored]
    assert ends == sorted(ends)
    assert ends[-1] == 1
    assert scored[-1][:3] == [max(line[i] for line in found) for i in range(3)]  # of grid, the last is all the largest
    assert {"margin", "embedding_dim", "loss", "MAP@R"} <= {text.get_text() for text in figure.axes[0].texts}


def test_parallel_spaces_few_numbers_evenly_and_many_by_their_size():
    few = axes.Axis("a", (1, 10, 1000), numeric=True)
    assert [(round(height, 3), words) for height, words in parallel._ticks(few)] == [
        *((0.167, "1"), (0.5, "10"), (0.833, "1000"))
    ]
    logarithmic = axes.Axis("a", tuple(range(1, 101)), numeric=True)
    assert {words: round(height, 3) for height, words in parallel._ticks(logarithmic)}["10"] == 0.5
    linear = axes.Axis("a", tuple(range(101)), numeric=True)
    assert {words: round(height, 3) for height, words in parallel._ticks(linear)}["40"] == 0.4


def test_front_is_drawn_against_size_and_against_time(drawn):
    without_figure = job(30, ["loss=batch_all"], metrics={"validation": {"trained": {"map_at_r": None}}})
    records = [*search(30), without_figure]
    figure = drawn(records)["pareto.png"]
    groups = [group for group in rank(records, MAP_AT_R) if group.score is not None]
    costs: tuple[Cost, Cost] = ("embedding_dim", "train_seconds")
    for plot, cost in zip(figure.axes, costs, strict=True):
        points = [line for line in plot.get_lines() if line.get_marker() == "o"]
        on_front = next(line for line in points if to_hex(line.get_color()) == BLUE.lower())
        front = pareto(groups, cost, MAP_AT_R)
        assert list(on_front.get_xdata()) == [getattr(group, cost) for group in front]
        assert list(on_front.get_ydata()) == [group.score for group in front]
        assert sum(len(line.get_xdata()) for line in points) == len(groups)
    size, time = figure.axes
    assert (size.get_xscale(), time.get_xscale()) == ("log", "linear")
    assert {label.get_text() for label in size.get_xticklabels()} <= {"2", "4", "8", "16", "32", "64"}


def test_front_has_the_values_at_its_points_or_below_where_they_are_many(drawn):
    few = drawn(grid(MARGINS, SIZES))["pareto.png"]
    assert "0.5, 16" in {text.get_text() for text in few.axes[0].texts}
    assert few.legends[0].get_title().get_text() == "labels: margin, embedding_dim"
    many = drawn(grid(MARGINS, SIZES, LOSSES))["pareto.png"]
    assert "#1" in {text.get_text() for text in many.axes[0].texts}
    assert "#1: margin 0.5, embedding_dim 16, loss batch_all" in many.legends[0].get_title().get_text()


def test_labels_of_the_front_keep_off_each_other(drawn):
    close = [job(i, [f"loss.margin=0.{i}"], 0.9 + i / 1000, train_seconds=90 + i) for i in range(1, 7)]
    (plot,) = drawn([job(0, ["loss.margin=0.01"], 0.8, train_seconds=10), *close])["pareto.png"].axes
    boxes = [text.get_window_extent() for text in plot.texts]
    assert len(boxes) > 2
    assert plot.texts[0].get_text() == "0.6"
    assert not any(box.count_overlaps(boxes[:i]) for i, box in enumerate(boxes))


def test_front_has_no_panel_for_a_cost_that_is_the_same_for_all(drawn):
    (plot,) = drawn(grid(MARGINS))["pareto.png"].axes
    assert plot.get_xlabel() == "seconds of training"


LONG = ("render.methods", ["[pca,tsne,umap,one,more]", "an$x$name", "y" * 60])


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(grid(LONG), id="long names"),
        pytest.param(grid(LONG, MARGINS, lost=[1]), id="two axes, long names"),
        pytest.param(grid(LONG, MARGINS, SIZES, LOSSES), id="four axes, long names"),
        pytest.param(search(40, failed=[7]), id="a search"),
        pytest.param(grid(("a", range(24)), ("b", range(24))), id="many cells"),
        pytest.param(grid(MARGINS, SIZES, SEEDS), id="seeds"),
        pytest.param(grid(LOSSES, SIZES), id="names over sizes"),
    ],
)
def test_nothing_is_off_the_page(drawn, records):
    for figure in drawn(records).values():
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 >= 0 <= box.y0
        assert box.x1 <= width
        assert box.y1 <= height
        plot = figure.axes[0].get_position()
        assert plot.width * (1 + figure.axes[-1].get_xlabel().startswith("seconds")) > 0.4
        assert plot.height > 0.4
