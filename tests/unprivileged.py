"""Running a block without the power of root, who may read and write everything whatever its permissions say."""

import contextlib
import ctypes
import os
import pwd
import sys
from pathlib import Path

from tests.repository import ROOT

_VERSION_3 = 0x20080522
_ABOVE_PERMISSIONS = (1 << 1) | (1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextlib.contextmanager
def unprivileged():
    """The block runs as the user `nobody`; as itself, if this is not root.

    Where `nobody` cannot read this Python, which lies in root's home then, as root without the rights that are above
    permissions.
    """
    if os.geteuid() != 0:
        yield
    elif all(map(_is_open, (sys.executable, os.__file__, __file__, ROOT))):
        user = pwd.getpwnam("nobody")
        os.setegid(user.pw_gid)
        os.seteuid(user.pw_uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)
    else:
        before = _effective_rights()
        _set_effective_rights(before & ~_ABOVE_PERMISSIONS)
        try:
            yield
        finally:
            _set_effective_rights(before)


def _is_open(path):
    """Whether everyone may read it."""
    path = Path(path).resolve()
    return all(one.stat().st_mode & 0o005 == 0o005 for one in (path, *path.parents) if one.is_dir()) and bool(
        path.stat().st_mode & 0o004
    )


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("process", ctypes.c_int))


class _Rights(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _rights():
    rights = (_Rights * 2)()
    _call("capget", rights)
    return rights


def _effective_rights():
    return _rights()[0].effective


def _set_effective_rights(effective):
    rights = _rights()
    rights[0].effective = effective
    _call("capset", rights)


def _call(name, rights):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(ctypes.byref(_Header(_VERSION_3, 0)), rights):
        raise OSError(ctypes.get_errno(), name)
