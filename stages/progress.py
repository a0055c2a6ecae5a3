"""Progress bars with rate and time left; silent where standard error is no terminal."""

from typing import Any

from tqdm import tqdm


def bar(description: str, total: int | None, unit: str) -> "tqdm[Any]":
    """A bar to `update`, used in a `with`; it leaves no trace when it is done.

    Args:
        description: what is being done.
        total: how many units it takes; None if that is not known.
        unit: what is counted, in the plural.
    """
    return tqdm(total=total, desc=description, unit=f" {unit}", disable=None, leave=False, dynamic_ncols=True)
