import math
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from tests.benchmarks import bench_growth, growth_picture
from tests.benchmarks.growing import Contender, grow
from tests.benchmarks.growth import Curve, Growth, Point, slope, table
from tests.benchmarks.peer import Peer, of_evaluate

SIZES = [64 * 2**power for power in range(10)]
PEER = "PyTorch Metric Learning 2.9.0, PyTorch 2.13.0"


def curve(name: str, peer: bool, power: float, kind: str = "loss", sizes: list[int] = SIZES) -> Curve:
    """Overhead, and what grows with a power of the size."""
    points = tuple(Point(size, 1e-4 + 1e-8 * size**power, 1e-6 * size if size > 200 else None) for size in sizes)
    return Curve(kind, name, peer, points, "65,536 would take 40 s")


def of_both() -> Growth:
    losses = [curve("hard", False, 2), curve("hard", True, 2.5, sizes=SIZES[:6]), curve("siamese", False, 1)]
    evaluated = [curve("evaluate", peer, 1.9, "evaluate", [1000, 2000, 4000, 8000]) for peer in (False, True)]
    return Growth("2026-11-22, a processor, 2 cores", PEER, "D = 128.", (*losses, *evaluated))


def of_ours() -> Growth:
    both = of_both()
    return Growth(both.facts, "", both.what, tuple(curve for curve in both.curves if not curve.peer))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 3.0])
def test_slope_is_the_power_of_what_grows_though_overhead_hides_it_in_small_sizes(power: float) -> None:
    sizes = np.array(SIZES)
    growing = (sizes / sizes[-1]) ** power
    assert slope(sizes, 3.0 * growing) == pytest.approx(power, abs=1e-3)
    with_overhead = slope(sizes, 3.0 * growing + 0.01)
    assert with_overhead is not None
    assert with_overhead == pytest.approx(power, abs=0.1 * power)


def test_noise_of_a_tenth_moves_a_slope_little() -> None:
    sizes = np.array(SIZES)
    noise = np.random.default_rng(0).uniform(0.9, 1.1, len(sizes))
    assert slope(sizes, noise * sizes**2) == pytest.approx(2.0, abs=0.1)


def test_what_hardly_grows_has_a_small_slope() -> None:
    assert slope(SIZES, [1.0] * len(SIZES)) == 0.0
    assert slope(SIZES, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 1.2, 1.3]) == pytest.approx(0.1, abs=0.03)


def test_slope_of_retrieval_is_that_of_the_way_in_which_many_are_searched() -> None:
    figures = {1000: 1.0, 2000: 4.0, 4000: 16.0, 8000: 64.0, 16_000: 80.0, 32_000: 160.0, 64_000: 320.0}
    points = tuple(Point(size, seconds) for size, seconds in figures.items())
    assert Curve("evaluate", "evaluate", False, points).slope("seconds") == 1.0
    assert Curve("loss", "hard", False, points).slope("seconds") != 1.0


@pytest.mark.parametrize("points", [0, 1, 2])
def test_two_points_have_no_slope(points: int) -> None:
    assert slope(SIZES[:points], [1.0, 4.0][:points]) is None


def test_a_curve_ends_before_a_step_that_would_take_too_long() -> None:
    steps: list[int] = []

    def burst(size: int):
        steps.append(size)
        return lambda budget: [1e-3 * (size / 64) ** 2]

    found = grow([Contender("loss", "hard", False, burst, lambda size: 0.001 * size, [128])], SIZES, 1.0)
    assert [point.size for point in found[0].points] == steps == [64, 128, 256, 512, 1024]
    assert [point.gigabytes for point in found[0].points] == [None, 0.128, None, None, None]
    assert found[0].ended == "2,048 would take 1 s"


def test_what_was_killed_ends_alone() -> None:
    def burst(size: int):
        return lambda budget: [1e-6 * size]

    def failing(size: int):
        return lambda budget: [math.nan if size == 512 and budget else 1e-6 * size]

    ours = Contender("loss", "hard", False, burst, lambda size: 0.001, SIZES)
    in_memory = Contender("loss", "hard", True, burst, lambda size: None if size == 256 else 0.001, SIZES)
    in_time = Contender("loss", "hard", True, failing, lambda size: 0.001, SIZES)
    found = grow([ours, in_memory, in_time], SIZES, 1.0)
    assert [len(each.points) for each in found] == [len(SIZES), 2, 3]
    assert [each.ended for each in found] == ["", "256 could not be measured", "512 could not be measured"]


def test_without_an_environment_the_peer_has_no_figures() -> None:
    with Peer(None) as peer:
        assert peer.versions() == []
        assert peer.burst(of_evaluate(1000, 8, 10)) is None
        assert peer.gigabytes(of_evaluate(1000, 8, 10)) is None


def test_figures_are_kept_and_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, picture = tmp_path / "growth.json", tmp_path / "growth.png"
    of_both().save(figures)
    assert Growth.load(figures) == of_both()
    monkeypatch.setattr(sys, "argv", ["bench_growth", "--draw", str(figures), "--picture", str(picture)])
    bench_growth.main()
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert table(of_both()) in capsys.readouterr().out


def test_slopes_stand_at_the_lines_and_in_the_table() -> None:
    both = of_both()
    drawn = "\n".join(text.get_text() for text in growth_picture.picture(both).findobj(Text))
    for one in both.curves:
        for quantity in ("seconds", "gigabytes"):
            fitted = one.slope(quantity)
            if fitted is not None:
                assert f"^{{{fitted:.1f}}}$" in drawn
                assert f"{fitted:.2f}" in table(both)


def test_a_missing_peer_leaves_its_lines_out_and_says_so() -> None:
    counted = {}
    for name, growth in (("both", of_both()), ("ours", of_ours())):
        picture = growth_picture.picture(growth)
        counted[name] = sum(len(axes.lines) for axes in picture.axes)
        texts = " ".join(text.get_text() for text in picture.findobj(Text))
        assert ("was not measured" in texts) == (name == "ours")
        assert (PEER in texts) == (name == "both")
    assert counted == {"both": 10, "ours": 6}
