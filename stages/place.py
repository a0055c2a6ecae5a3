"""Which of several processes this one is, where several were started to train together."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from stages.errors import UserError

BY_HAND = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_STARTERS = {
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"): ("OMPI_MCA_orte_hnp_uri",),
    ("SLURM_PROCID", "SLURM_NTASKS"): ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_LOCALID"),
}
"""Those of which JAX finds out by itself where process 0 is: their variables for number and count, and others.

In JAX's order: what `mpirun` starts within an allocation has the variables of both, Slurm's being its daemon's.
"""


@dataclass(frozen=True)
class Place:
    """Which of how many processes this one is.

    Attributes:
        number: from 0.
        count: of them all.
        address: `host:port` at which process 0 can be reached; None: JAX knows it from what started the processes.
    """

    number: int = 0
    count: int = 1
    address: str | None = None

    @property
    def writes(self) -> bool:
        """Whether files and runs are this one's to write."""
        return self.number == 0


def place(environment: Mapping[str, str] = os.environ) -> Place:
    """Which process this is, as the environment tells: by hand, or by Open MPI or Slurm; else the only one.

    Raises:
        UserError: the environment tells half of it, or what cannot be.

    >>> place({"JAX_COORDINATOR_ADDRESS": "node1:7000", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"})
    Place(number=1, count=2, address='node1:7000')
    """
    told = [environment.get(name, "") for name in BY_HAND]
    if any(told):
        if missing := [name for name, value in zip(BY_HAND, told, strict=True) if not value]:
            raise UserError(f"{' and '.join(missing)}: not set, expected beside {', '.join(filter(None, told))}")
        address, count, number = told
        found = Place(_whole(BY_HAND[2], number), _whole(BY_HAND[1], count), address)
        if found.number >= found.count:
            raise UserError(f"{BY_HAND[2]}: found {number}, expected 0 to {found.count - 1}, one for each process")
        if not re.fullmatch(r".+:\d+", address):
            raise UserError(f"{BY_HAND[0]}: found {address}, expected host:port of process 0")
        return found
    for (number, count), others in _STARTERS.items():
        if all(name in environment for name in (number, count, *others)):
            return Place(_whole(number, environment[number]), _whole(count, environment[count]))
    return Place()


def _whole(name: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,6}", value):
        raise UserError(f"{name}: found {value}, expected a whole number")
    return int(value)
