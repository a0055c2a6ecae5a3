"""Code of a user's own that settings name: what is computed depends on it as it does on `stages/`."""

import importlib.util
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent


def files(sections: Iterable[Mapping[str, Any]], allowed_targets: Sequence[str] = ()) -> list[Path]:
    """The modules of all `_target_`s, nested ones too, that are neither in `stages/` nor in an installed package.

    Not what these import: who changes that has to ask for a new computation.

    >>> files([{"_target_": "keras.losses.MeanSquaredError"}, {"_target_": "stages.train.losses.TripletHardLoss"}])
    []
    """
    targets = [*(target for section in sections for target in _targets(section)), *allowed_targets]
    found = (_file_of(target) for target in targets)
    return sorted({path for path in found if path is not None and _is_own(path)})


def _targets(section: Any) -> Iterator[str]:
    if isinstance(section, Mapping):
        if isinstance(section.get("_target_"), str):
            yield section["_target_"]
        for value in section.values():
            yield from _targets(value)


def _file_of(target: str) -> Path | None:
    """The file of the module in a dotted path; None where there is none, which the stage that builds it tells."""
    package, *parts = target.split(".")
    spec = importlib.util.find_spec(package) if package else None
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    # By the files and not by imports: that of keras.optimizers would import TensorFlow.
    path = Path(spec.origin).resolve()
    for part in parts:
        if path.name != "__init__.py":
            break  # the rest is a name in this module
        below = (path.with_name(part) / "__init__.py", path.with_name(f"{part}.py"))
        path = next((file for file in below if file.is_file()), path)
    return path


def _is_own(path: Path) -> bool:
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")}
    return not any(path.is_relative_to(folder) for folder in (_ROOT, *installed))
