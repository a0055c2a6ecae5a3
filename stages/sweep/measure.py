"""By what a sweep is ranked: a measure of the trained network on validation, named as in `evaluate.json`."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stages.errors import UserError
from stages.evaluate.roc import far_name
from stages.sweep.records import Record

RANKS, REPORTED = "validation", "test"
SYSTEM = "trained"

_TITLES = {
    "map_at_r": "MAP@R",
    "r_precision": "R-precision",
    "mrr": "MRR",
    "knn_accuracy": "k-NN accuracy",
    "verification_accuracy": "verification",
    "auc": "AUC",
    "eer": "EER",
}
_OF_PAIRS = ("verification_accuracy", "auc", "eer")
_FAMILIES = {"recall_at_": "recall@", "precision_at_": "precision@", "val_at_far_": "VAL@FAR="}
_EXAMPLES = (*_TITLES, "recall_at_1", "precision_at_2", "val_at_far_1e-3")
_LOWER_IS_BETTER = ("eer",)
_SECTIONS = ("macro", "in_training")


@dataclass(frozen=True)
class Measure:
    """A measure of the trained network.

    Attributes:
        name: in `evaluate.json`, as `map_at_r`; of those that are nested there with its section, as `macro.map_at_r`.
    """

    name: str

    @classmethod
    def named(cls, name: str) -> "Measure":
        """The measure of that name: `map_at_r`, `validation.map_at_r` and `validation.trained.map_at_r` are the same.

        Raises:
            UserError: no measure has that name, or it is of test or of another system.

        >>> Measure.named("validation.trained.recall_at_5")
        Measure(name='recall_at_5')
        >>> Measure.named("val_at_far_0.001").title
        'validation VAL@FAR=1e-3'
        """
        rest = name.removeprefix(f"{RANKS}.").removeprefix(f"{SYSTEM}.")
        section = next((section for section in _SECTIONS if rest.startswith(f"{section}.")), "")
        prefix = section and f"{section}."
        known = _known(rest.removeprefix(prefix), section)
        if known is not None:
            return cls(prefix + known)
        nearest = _advice(rest.rpartition(".")[2], section)
        if re.match(r"test(_seen|_unseen)?\.", name):
            raise UserError(f"metric: found {name}, but figures on test choose nothing, {nearest}, on validation")
        if re.match(r"(raw|untrained|chance)\.", rest):
            raise UserError(f"metric: found {name}, but a sweep ranks the trained network, {nearest}")
        raise UserError(f"metric: found {name}, which is no measure, {nearest}")

    @property
    def label(self) -> str:
        """Its name in words.

        >>> Measure("recall_at_1").label, Measure("macro.map_at_r").label
        ('recall@1', 'macro MAP@R')
        """
        title = _TITLES.get(self._name, self._name)
        for family, words in _FAMILIES.items():
            title = title.replace(family, words)
        return f"{self._section.replace('_', ' ')} {title}".strip()

    @property
    def title(self) -> str:
        """What jobs are ranked by, in words: `validation MAP@R`."""
        return f"{RANKS} {self.label}"

    @property
    def lower_is_better(self) -> bool:
        """Whether it is an error rate."""
        return self.name in _LOWER_IS_BETTER

    def value(self, record: Record, view: str = RANKS) -> float | None:
        """The figure of a job; None where it has none."""
        return _measured(record, view, self._section).get(self._name)

    def siblings(self, record: Record) -> list[str]:
        """The measures that a job has and that may rank: of the same kind as this one, or if there are none, all."""
        section, name = self._section, self._name
        there = [found for found in _measured(record, RANKS, section) if _known(found, section)]
        family = next((family for family in _FAMILIES if name.startswith(family)), "")
        alike = [found for found in there if family and found.startswith(family)]
        return [f"{section}.{found}" if section else found for found in alike or there]

    @property
    def _section(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def _name(self) -> str:
        return self.name.rpartition(".")[2]


def _measured(record: Record, view: str, section: str) -> Mapping[str, Any]:
    measures = record.metrics.get(view, {}).get(SYSTEM, {})
    return measures.get(section, {}) if section else measures


def _known(name: str, section: str) -> str | None:
    """The measure's name as `evaluate.json` writes it, if there is one."""
    if section and (name in _OF_PAIRS or name.startswith("val_at_far_")):
        return None
    if section == "in_training" and name == "knn_accuracy":
        return None
    if name in _TITLES or re.fullmatch(r"recall_at_[1-9]\d*", name):
        return name
    if re.fullmatch(r"precision_at_[1-9]\d*", name) and name != "precision_at_1":  # which is recall@1
        return name
    far = re.fullmatch(r"val_at_far_(\d+(?:\.\d+)?(?:e-?\d+)?)", name)
    return far_name(float(far.group(1))) if far and 0 < float(far.group(1)) < 1 else None


def _advice(name: str, section: str) -> str:
    """The measure that was meant, or all there are in `section`, where not every one is."""
    valid = [example for example in _EXAMPLES if _known(example, section)]
    near = (
        ["recall_at_1"] if name == "precision_at_1" else difflib.get_close_matches(name.lower(), valid, n=1, cutoff=0.5)
    )
    prefix = f"{section}." if section else ""
    if near:
        return f"the nearest valid one is {prefix}{near[0]}"
    return f"expected one of {', '.join(prefix + example for example in valid)}"
