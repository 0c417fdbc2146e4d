"""A computational graph in a few columns, for tables and maps."""

from collections import Counter

from archrep.graph.archgraph import ArchGraph

# Primitives that say how parts are joined, normalised or shifted, not what is computed.
GLUE = {"sum", "concat", "gate", "input", "pos_enc", "parameter", "glob_avg", "bias", "scale", "bn", "ln"}
GLUE |= {"group_norm", "instance_norm", "rms_norm"}
COLUMNS = ("nodes", "depth", "params", "ops", "op_mix")


def summarise(graph: ArchGraph) -> dict[str, object]:
    """What one looks for first.

    Returns:
        `nodes`; `depth`, edges on the longest path; `params`, parameters in the graph; `ops`, its operations by
        falling number of nodes, such as `conv 12, sep_conv 4`; `op_mix`, the first of them besides `conv`, which nearly
        every network has most of.
    """
    ops = Counter(name for name in graph.primitives if name not in GLUE).most_common()
    return {
        "nodes": len(graph.primitive),
        "depth": int(graph.levels.max()),
        "params": graph.num_params,
        "ops": ", ".join(f"{name} {count}" for name, count in ops),
        "op_mix": next((name for name, _ in ops if name != "conv"), "conv" if ops else "none"),
    }
