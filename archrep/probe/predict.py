"""Applying a fitted probe to new architectures."""

from collections.abc import Sequence

from archrep.errors import ArchrepError
from archrep.probe.cells import has_cell, has_graph
from archrep.probe.encoders import Context, encode
from archrep.probe.saved import FittedProbe
from archrep.space import Architecture


def predict_rows(
    probe: FittedProbe, architectures: Sequence[Architecture], context: Context, level: float, graphs: bool
) -> tuple[list[dict], list[str]]:
    """Rows with `arch`, the target, and the ends `low` and `high` of its interval.

    Args:
        graphs: the probe's encoders need computational graphs.

    Returns:
        The rows, and why architectures were refused that have no graph.

    Raises:
        ArchrepError: if all were refused, or an encoder lacks something.
    """
    kept, refused = [], []
    for architecture in architectures:
        try:
            if graphs and not has_graph(architecture):
                raise ArchrepError(f"{architecture.id}: its output does not depend on its input.")
            if graphs or not has_cell(architecture):
                _ = architecture.graph
            kept.append(architecture)
        except ArchrepError as error:
            refused.append(str(error))
    if not kept:
        raise ArchrepError(f"None of the {len(architectures)} architectures can be encoded: {refused[0]}")
    values = probe.predict({spec: encode(spec, kept, context) for spec in probe.encoders}, level)
    name = probe.target.name
    rows = [
        {"arch": a.id, name: float(middle), "low": float(low), "high": float(high)}
        for a, (middle, low, high) in zip(kept, values, strict=True)
    ]
    return rows, refused
