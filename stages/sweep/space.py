"""What a search may try: for each key an interval or a choice, in Hydra's grammar of overrides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.errors import UserError
from stages.sweep.state import is_of_sweep

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_DIGITS = 4


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`, both included; whole ones where both bounds are whole.

    Values are rounded to four digits, so that a configuration reads well: 0.1235 and not 0.12345678901234568.

    >>> Interval(0.05, 2.0, log=True).text(0.123456)
    '0.1235'
    """

    low: float
    high: float
    log: bool

    def __str__(self) -> str:
        bounds = f"interval({self.low},{self.high})"
        cast = f"int({bounds})" if self._whole else bounds
        return f"tag(log,{cast})" if self.log else cast

    @property
    def _whole(self) -> bool:
        return isinstance(self.low, int)

    def distribution(self) -> "BaseDistribution":
        """The same for Optuna."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self._whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def text(self, suggested: float) -> str:
        """What Optuna suggests, as the value of an override."""
        if self._whole:
            return str(int(suggested))
        rounded = float(f"{suggested:.{_DIGITS}g}")
        return str(min(max(rounded, self.low), self.high))

    def for_optuna(self, text: str) -> float:
        """The value of an override, as Optuna is told of it."""
        return int(text) if self._whole else float(text)


@dataclass(frozen=True)
class Choice:
    """Values to choose from, as texts. Numbers are searched by their places, so that 8 lies between 4 and 16.

    >>> Choice(("2", "4", "8"), ordered=True).text(1)
    '4'
    """

    values: tuple[str, ...]
    ordered: bool

    def __str__(self) -> str:
        return f"choice({','.join(self.values)})"

    def distribution(self) -> "BaseDistribution":
        """The same for Optuna."""
        from optuna.distributions import CategoricalDistribution, IntDistribution

        return IntDistribution(0, len(self.values) - 1) if self.ordered else CategoricalDistribution(self.values)

    def text(self, suggested: int | str) -> str:
        """What Optuna suggests, as the value of an override."""
        return self.values[suggested] if isinstance(suggested, int) else suggested

    def for_optuna(self, text: str) -> int | str:
        """The value of an override, as Optuna is told of it."""
        return self.values.index(text) if self.ordered else text


@dataclass(frozen=True)
class Space:
    """What is searched and what stays the same.

    Attributes:
        axes: by key, what it may be.
        fixed: overrides that every trial gets.
    """

    axes: dict[str, Interval | Choice]
    fixed: list[str]

    def overrides(self, values: Mapping[str, str]) -> list[str]:
        """All that is set for the trial that has these values."""
        return [*self.fixed, *(f"{key}={value}" for key, value in values.items())]

    def described(self) -> dict[str, Any]:
        """All that the figures of trials depend on, as JSON can hold it: they can be compared where this is equal."""
        fixed = sorted(override for override in self.fixed if not is_of_sweep(override))
        return {"axes": {key: str(axis) for key, axis in self.axes.items()}, "fixed": fixed}


def parse(overrides: Sequence[Any]) -> Space:
    """The space that parsed Hydra overrides describe; of two with the same key the later one counts.

    Args:
        overrides: `hydra.core.override_parser.types.Override`s.

    Raises:
        UserError: nothing is to be searched; an empty interval; a tag that means nothing here.

    >>> from hydra.core.override_parser.overrides_parser import OverridesParser
    >>> parser = OverridesParser.create()
    >>> parse(parser.parse_overrides(["loss.margin=tag(log,interval(0.1,1))", "seed=3", "data=a,b"])).described()
    {'axes': {'loss.margin': 'tag(log,interval(0.1,1.0))', 'data': 'choice(a,b)'}, 'fixed': ['seed=3']}
    """
    latest = {override.get_key_element(): override for override in overrides}
    axes = {key: _axis(key, override) for key, override in latest.items() if override.is_sweep_override()}
    if not axes:
        raise UserError(
            "search: found nothing to search; expected a key with several values, as in 'loss.margin=interval(0.1,1)'"
        )
    return Space(axes, [override.input_line for key, override in latest.items() if key not in axes])


def _axis(key: str, override: Any) -> Interval | Choice:
    found = override.value()
    tags: set[str] = getattr(found, "tags", set())
    if tags - {"log"} or (tags and not override.is_interval_sweep()):
        raise UserError(f"{key}: found tag({','.join(sorted(tags))}, …), expected tag(log, interval(…)) or no tag")
    return _interval(key, found) if override.is_interval_sweep() else _choice(override)


def _interval(key: str, found: Any) -> Interval:
    interval = Interval(found.start, found.end, log="log" in found.tags)
    lowest = "0 < low" if interval.log else "low"
    if not interval.low < interval.high or (interval.log and interval.low <= 0):
        raise UserError(f"{key}: found {interval}, expected interval(low,high) with {lowest} < high")
    return interval


def _choice(override: Any) -> Choice:
    from hydra.core.override_parser.types import Transformer

    values = list(override.sweep_iterator())
    ordered = all(type(value) in (int, float) for value in values)
    # Sorted, for shuffle(…) would make another search of it each time.
    values = sorted(values) if ordered else sorted(values, key=Transformer.str)
    return Choice(tuple(dict.fromkeys(map(Transformer.str, values))), ordered)
