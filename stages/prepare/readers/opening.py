"""Opens files of data: ordinary ones alone, and of compressed ones no more than images can make up."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stages.errors import UserError

_RATIO = 200  # of drawings of a single line 150 was seen, of MNIST 9; blank images have 400 and more
_FREE = 4 << 20  # bytes that any file may unpack to: two million labels in a row may be equal


def check_ordinary(path: Path) -> None:
    """Refuse what only has the name of a file.

    Raises:
        UserError: a folder, a pipe or a device, a link that leads nowhere.
    """
    if path.is_file():
        return
    kind = "a folder" if path.is_dir() else "no ordinary file" if path.exists() else "a link that leads nowhere"
    raise UserError(f"{path}: found {kind}, expected a file")


def opened(path: Path) -> IO[bytes]:
    """The content of a file, unpacked if it ends in `.gz`: reading raises `UserError` when it becomes too much."""
    if path.suffix != ".gz":
        return path.open("rb")
    stream = gzip.GzipFile(path)
    return io.BufferedReader(Unpacked(stream, stream.fileobj, path))


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turn what opening and unpacking raise into a `UserError`, but a lack of permission, which says it itself."""
    try:
        yield
    except EOFError:
        raise UserError(f"{path}: found the end in the middle of the compressed data, expected a whole file") from None
    except PermissionError:
        raise
    except (OSError, zlib.error) as error:
        raise UserError(f"{path}: not readable ({error})") from None


class Unpacked(io.RawIOBase):
    """What a compressed file unpacks to, as long as that is no more than images make up.

    Args:
        stream: gives the unpacked bytes by its `read`.
        file: from which it reads the compressed ones; its `tell` says how far.
        path: the file's.
    """

    def __init__(self, stream: Any, file: Any, path: Path) -> None:
        super().__init__()
        self._stream, self._file, self._path, self._count = stream, file, path, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as there is anything; returns the number of bytes.

        Raises:
            UserError: too much.
        """
        block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        self._count += len(block)
        packed = self._file.tell()
        if self._count > max(_FREE, _RATIO * packed):
            raise UserError(
                f"{self._path}: found {self._count:,} bytes in the first {packed:,} of compressed data, expected at "
                f"most {_RATIO} times as many; unpack the file if that is meant"
            )
        return len(block)

    def close(self) -> None:
        """Close the stream, which closes the file if it opened it."""
        self._stream.close()
        super().close()


def check_folder(path: Path) -> None:
    """Refuse what is no folder; what is not there is left to the reader, who knows what belongs there.

    Raises:
        UserError: a file, a link that leads back to itself, a name that is too long.
        PermissionError: the folder may not be listed.
    """
    try:
        with os.scandir(path):
            return
    except FileNotFoundError:
        return
    except PermissionError:
        raise
    except NotADirectoryError:
        raise UserError(f"{path}: found a file, expected a folder of images") from None
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror}), expected a folder of images") from None
