"""What a figure depends on beside the code: the machine's processor, and the versions of packages."""

import datetime
import os
from importlib.metadata import version
from pathlib import Path

_SPELLED = {"tensorflow": "TensorFlow", "keras": "Keras", "faiss-cpu": "FAISS", "numpy": "NumPy"}


def described(*packages: str) -> str:
    """Day, processor, cores and versions, in one line; nothing that names the machine."""
    return ", ".join([datetime.date.today().isoformat(), processor(), *versions(*packages)])


def processor() -> str:
    """Model and number of cores."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown processor")
    return f"{model}, {os.cpu_count()} cores"


def versions(*packages: str) -> list[str]:
    """Name and version of installed packages."""
    return [f"{_SPELLED.get(package, package)} {version(package)}" for package in packages]
