"""One MLflow run for each configuration, one around those of a sweep: the only package that talks to MLflow."""

from stages.tracking.connection import root, tracking_uri
from stages.tracking.runs import TAGS, Point, Run, continued, end_killed, started

__all__ = ["TAGS", "Point", "Run", "continued", "end_killed", "root", "started", "tracking_uri"]
