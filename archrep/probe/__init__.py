"""Probes: what an encoding of architectures knows about a measured target.

A `Task` holds labelled architectures with their groups and encodings, a `Scheme` says who is trained on and tested,
`run_probe` evaluates every encoding on it. May import `ghn`, `space`, `graph`, `data`.
"""

from archrep.probe.report import Report, Score, run_probe
from archrep.probe.saved import FittedProbe, load_probe, save_probe
from archrep.probe.task import Task, make_task

__all__ = ["FittedProbe", "Report", "Score", "Task", "load_probe", "make_task", "run_probe", "save_probe"]
