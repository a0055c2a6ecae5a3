"""`make audit`: known vulnerabilities of the packages in requirements.lock, as pip-audit finds them.

It asks the advisory service of the Python Package Index about each package, which needs the network. It has an
environment of its own, for its packages are no part of the project's.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK = "requirements.lock"
FOLDER = ROOT / ".venv" / "audit"
_SHOWN = 5  # packages that the service does not judge: where it is not the service, all of them
REQUIREMENTS = Path(__file__).with_name("requirements_audit.txt")


def verdict(report: Mapping[str, Any]) -> tuple[list[str], int]:
    """What there is to say of pip-audit's report, and the exit status: 0 only if every package was judged and is clean.

    >>> verdict({"dependencies": [{"name": "a", "version": "1", "vulns": []}]})
    (['1 package of requirements.lock: no known vulnerability'], 0)
    """
    packages = report["dependencies"]
    skipped = [f"{one['name']}: not judged: {one['skip_reason']}" for one in packages if "skip_reason" in one]
    found = [
        f"{one['name']} {one['version']}: {' '.join([fault['id'], *fault['aliases']])}, mended in "
        f"{', '.join(fault['fix_versions']) or 'no version yet'}"
        for one in packages
        for fault in one.get("vulns", ())
    ]
    count = f"{len(packages)} package{'s' * (len(packages) != 1)} of {LOCK}"
    if len(skipped) == len(packages):
        reason = skipped[0].partition(": not judged: ")[2] if skipped else "an empty report"
        return [f"{count}: none was judged, as where the service is out of reach ({reason})"], 1
    if skipped:
        return [*found, *skipped[:_SHOWN], f"{count}: {len(skipped)} were not judged; try again, or see why above"], 1
    if found:
        return [*found, f"{count}: {len(found)} known vulnerabilities; `make lock` renews the versions"], 1
    return [f"{count}: no known vulnerability"], 0


def environment() -> Path:
    """pip-audit's program, installed when it is first wanted and when its requirements have changed."""
    program, installed = FOLDER / "bin" / "pip-audit", FOLDER / "installed.txt"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not (installed.is_file() and installed.read_text(encoding="utf-8") == wanted):
        print(f"installing pip-audit into {FOLDER.relative_to(ROOT)}", flush=True)
        _succeed(sys.executable, "-m", "venv", str(FOLDER))
        pip = (str(FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _succeed(*pip, "--require-hashes", "--requirement", str(REQUIREMENTS))
        installed.write_text(wanted, encoding="utf-8")
    return program


def main() -> int:
    """Print the verdict; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "report.json"
        options = ("--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json")
        # Its own status is no verdict: it is 0 where no package is known to the service.
        done = _run(str(environment()), "--requirement", LOCK, *options, "--output", str(output))
        if not output.is_file():
            _end(f"pip-audit got no answer: {_last_line(done)}")
        lines, status = verdict(json.loads(output.read_text(encoding="utf-8")))
    print("\n".join(lines))
    return status


def _succeed(*command: str) -> None:
    done = _run(*command)
    if done.returncode:
        _end(f"pip-audit cannot be installed: {_last_line(done)}")


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _last_line(done: "subprocess.CompletedProcess[str]") -> str:
    return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


def _end(reason: str) -> None:
    sys.exit(f"make audit: {reason} (it needs the network)")


if __name__ == "__main__":
    sys.exit(main())
