"""Weights that were trained elsewhere: found, fetched and read, or refused in one line."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.errors import UserError, said_by

IMAGENET = "imagenet"
"""Of `weights`: those that Keras publishes, downloaded once and kept in its cache."""

PATIENCE = 15.0
"""Seconds without an answer after which a download is given up: urllib by itself would wait for minutes."""


def checked_weights(weights: str | None) -> str | None:
    """Return `weights`: None, `imagenet` or the path of a file that exists.

    Raises:
        UserError: neither of them.
    """
    if weights is None or weights == IMAGENET or Path(weights).is_file():
        return weights
    raise UserError(f"network.weights: found {weights!r}, expected null, {IMAGENET} or the path of a file with weights")


@contextmanager
def reading(weights: str | None) -> Iterator[None]:
    """Turn what Keras raises while it fetches or reads these weights into a `UserError`."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    except Exception as error:  # Keras raises plain `Exception` for a download that failed
        if weights is None:
            raise
        raise UserError(f"network.weights: {_reason(weights, error)}") from error
    finally:
        socket.setdefaulttimeout(before)


def _reason(weights: str, error: Exception) -> str:
    message = said_by(error)
    if weights == IMAGENET:
        return (
            f"{IMAGENET} could not be fetched ({message}); expected access to the network, or the path of that file, "
            "downloaded elsewhere"
        )
    return f"{weights} does not fit ({message}); expected the weights of a ResNet50 without classifier"
