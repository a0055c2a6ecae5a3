"""Names of classes as pictures show them."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def shown(name: str, letters: int = 18) -> str:
    r"""The name on one line, in at most so many letters; of a long one start and end, for some differ in one of them.

    >>> shown("three\nlines")
    'three lines'
    >>> shown("a class with a rather long name")
    'a class wit…g name'
    """
    line = one_line(name)
    end = letters // 3
    return line if len(line) <= letters else f"{line[: letters - end - 1]}…{line[len(line) - end :]}"


def one_line(name: str) -> str:
    """The name with a space wherever it has line breaks, tabs or several spaces."""
    return " ".join(name.split())


@contextmanager
def missing_letters_told(names: Sequence[str], of: str = "the class names") -> Iterator[None]:
    """Tell in one line of letters that pictures show as boxes; Matplotlib would warn of each one, in each picture."""
    missing = missing_letters(names)
    if missing:
        print(f"the font of the pictures lacks {len(missing):,} letters of {of}, as {missing[0]}: boxes there")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from", UserWarning)
        yield


def missing_letters(names: Sequence[str]) -> list[str]:
    """Letters of the names that Matplotlib's font lacks, plain or bold, in the order of the alphabet.

    >>> missing_letters(["cat", "Δ", "猫"])
    ['猫']
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    weights = ("normal", "bold")
    known = [get_font(findfont(FontProperties(weight=weight))).get_charmap() for weight in weights]
    letters = set("".join(one_line(name) for name in names))
    return sorted(letter for letter in letters if not all(ord(letter) in charmap for charmap in known))
