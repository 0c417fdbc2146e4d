"""Probes: what an encoding of architectures knows about a measured target.

May import `ghn`, `space`, `graph`, `data`.
"""

from archrep.probe.report import Report, Score, run_probe

__all__ = ["Report", "Score", "run_probe"]
