"""Measuring growth: contenders take turns at one size after another, each as far as it may go."""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.benchmarks import peak_memory, turns
from tests.benchmarks.growth import Curve, Point

FREE_SHARE = 0.6  # of the free memory, which a step may take


@dataclass
class Contender:
    """What is measured at one size after another.

    Attributes:
        kind, name, peer: as of `growth.Curve`.
        burst: of a size, repetitions of its step; None if it cannot be run.
        weigh: of a size, the gigabytes that a step adds; None if it was killed.
        weighed: the sizes at which to.
    """

    kind: str
    name: str
    peer: bool
    burst: Callable[[int], turns.Burst | None]
    weigh: Callable[[int], float | None]
    weighed: Sequence[int]
    points: list[Point] = field(default_factory=list)
    ended: str = ""

    def curve(self) -> Curve:
        return Curve(self.kind, self.name, self.peer, tuple(self.points), self.ended)

    def refuse(self, size: int, seconds: float) -> str:
        """Why not to try this size: what it would take at the growth of the last sizes; "" if it can be tried."""
        times = [(point.size, point.seconds) for point in self.points]
        if (expected := _expected(times, size)) > seconds:
            return f"{size:,} would take {expected:.0f} s"
        weights = [(point.size, point.gigabytes) for point in self.points if point.gigabytes]
        if (expected := _expected(weights, size)) > FREE_SHARE * peak_memory.available():
            return f"{size:,} would take {expected:.0f} GB"
        return ""


def grow(contenders: Iterable[Contender], sizes: Sequence[int], seconds: float) -> list[Curve]:
    """Measure all contenders at each size in turn, each as far as it may go."""
    racing = list(contenders)
    for size in sizes:
        running: list[tuple[Contender, turns.Burst, float | None]] = []
        for contender in racing:
            contender.ended = contender.ended or contender.refuse(size, seconds)
            if contender.ended:
                continue
            gigabytes = contender.weigh(size) if size in contender.weighed else None
            killed = gigabytes is None and size in contender.weighed
            burst = None if killed else contender.burst(size)
            if burst is None:
                contender.ended = f"{size:,} could not be measured"
            else:
                running.append((contender, burst, gigabytes))
        times = turns.medians_of_bursts([burst for _, burst, _ in running])
        for (contender, _, gigabytes), taken in zip(running, times, strict=True):
            if not math.isfinite(taken):
                contender.ended = f"{size:,} could not be measured"
                continue
            contender.points.append(Point(size, taken, gigabytes))
            whose = "peer" if contender.peer else "ours"
            weight = "" if gigabytes is None else f", {gigabytes:.3f} GB"
            print(f"{contender.name} {whose} {size:,}: {taken:.3g} s{weight}", file=sys.stderr, flush=True)
    return [contender.curve() for contender in racing]


def _expected(figures: Sequence[tuple[int, float]], size: int) -> float:
    """The figure of a larger size at the growth of the last two, taken as linear at least and cubic at most: noise."""
    if not figures:
        return 0.0
    last, figure = figures[-1]
    power = 1.0
    if len(figures) > 1:
        before, smaller = figures[-2]
        power = min(max(power, math.log(figure / smaller) / math.log(last / before)), 3.0)
    return figure * (size / last) ** power
