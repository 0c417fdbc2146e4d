"""The plan of a DeepNets network: its blocks and their wiring, decided before anything is built.

The nn.Module (network.py) runs this plan and the computational graph (graph.py) is read from it, so the
two cannot disagree about wiring. Paper § 3 and appendix A; cells as in DARTS (arXiv:1806.09055).
"""

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from archrep.errors import ArchrepError
from archrep.space.deepnets.config import OPS, DeepNetConfig, Edge

HEADS = 8  # attention heads of every msa block


class Step(NamedTuple):
    """One block.

    Attributes:
        kind: which block, see `network.BLOCKS` and `graph.EMIT`.
        inputs: positions of the steps it reads; empty if it never runs.
        name: where its module lives in the network; empty if it has none.
        c_in, c_out: channels. kernel, stride: of its convolutions or pooling.
        size_in, size_out: height (= width) of its input and output.
        cell: number of its cell; stem and head count to the first and the last one.
    """

    kind: str
    inputs: tuple[int, ...] = ()
    name: str = ""
    c_in: int = 0
    c_out: int = 0
    kernel: int = 1
    stride: int = 1
    size_in: int = 0
    size_out: int = 0
    cell: int = 0


@dataclass
class Plan:
    """Steps in execution order, and the positions of those that the output depends on; `cell`: that of new steps."""

    steps: list[Step] = field(default_factory=list)
    norm: bool = True
    live: list[int] = field(default_factory=list)
    image_size: int = 32
    cell: int = 0

    def add(self, kind: str, inputs: tuple[int, ...], *, size: int | None = None, **fields) -> int:
        """Appends a step and returns its position. Its output size follows from the stride."""
        size_in = self.steps[inputs[0]].size_out if inputs else 0
        stride = fields.get("stride", 1)
        size_out = -(-size_in // stride) if size is None else size
        self.steps.append(Step(kind, inputs, size_in=size_in, size_out=size_out, cell=self.cell, **fields))
        return len(self.steps) - 1


def make_plan(config: DeepNetConfig, num_classes: int = 10, imagenet: bool = False) -> Plan:
    """Plans the network for 32×32 images, or 224×224 if `imagenet`.

    Raises:
        ArchrepError: if no path leads from the images to the output, or an operation is unknown.
    """
    plan = Plan(norm=config.norm, image_size=224 if imagenet else 32)
    plan.add("input", (), size=plan.image_size)
    s0: int | None
    s1: int | None
    s0, s1, c0, c1 = _add_stem(plan, config, imagenet)

    channels = config.channels
    halved_before = config.stem_type == 1 and not config.is_vit
    for index in range(config.n_cells):
        plan.cell = index
        reduction = index > 0 and index in (config.n_cells // 3, 2 * config.n_cells // 3)
        channels *= config.channel_mult if reduction else 1
        cell = _Cell(plan, config, index, reduction, channels, c_in=channels if config.preproc else c1)
        s0, s1 = s1, cell.add(s0, s1, c0, c1, halved_before)
        c0, c1 = c1, cell.multiplier * channels
        halved_before = reduction and not config.is_vit
    if s1 is None:
        raise ArchrepError("This genotype is disconnected: no path leads from the images to the output.")

    _add_head(plan, config, s1, c1, num_classes)
    plan.live = _live(plan.steps)
    return plan


def _add_stem(plan: Plan, config: DeepNetConfig, imagenet: bool) -> tuple[int, int, int, int]:
    """Returns the two first states and their channels."""
    c = config.channels
    if config.is_vit:
        patch = 16 if imagenet else 3
        side = 14 if imagenet else 11
        patches = plan.add("patches", (0,), name="stem0", c_in=3, c_out=c, kernel=patch, stride=patch, size=side)
        s = plan.add("pos_enc", (patches,), name="pos_enc", c_in=c, c_out=c, kernel=side)
        return s, s, c, c
    k = config.stem_kernel
    if config.stem_type == 0:
        c_stem = c * 3 if config.preproc and not imagenet else c
        kind = "stem_pool" if config.stem_pool else "stem"
        stride = 4 if imagenet else 1
        size = plan.image_size // stride // (2 if config.stem_pool else 1)
        s = plan.add(kind, (0,), name="stem", c_in=3, c_out=c_stem, kernel=k, stride=stride, size=size)
        return s, s, c_stem, c_stem
    stride = 2 if imagenet else 1
    size = plan.image_size // stride**2
    s0 = plan.add("stem0", (0,), name="stem0", c_in=3, c_out=c, kernel=k, stride=stride, size=size)
    s1 = plan.add("stem1", (s0,), name="stem1", c_in=c, c_out=c, kernel=3, stride=2)
    return s0, s1, c, c


class _Cell:
    """Adds the steps of one cell to a plan."""

    def __init__(self, plan: Plan, config: DeepNetConfig, index: int, reduction: bool, c_out: int, c_in: int) -> None:
        genotype = config.genotype
        self.plan, self.config, self.name = plan, config, f"cells.{index}"
        self.edges = genotype.reduce if reduction else genotype.normal
        self.concat = genotype.reduce_concat if reduction else genotype.normal_concat
        self.multiplier = len(self.concat)
        self.stride = 2 if reduction and not config.is_vit else 1
        self.c_in, self.c_out = c_in, c_out

    def add(self, s0: int | None, s1: int | None, c0: int, c1: int, halved_before: bool) -> int | None:
        """Returns the position of the cell's output, or None where nothing reaches it."""
        s0 = self._preprocess("preprocess0", s0, c0, halved_before)
        s1 = self._preprocess("preprocess1", s1, c1, False)
        states = [s0, s1]
        for node in range(len(self.edges) // 2):
            terms = [
                self._edge(2 * node + k, edge, states) for k, edge in enumerate(self.edges[2 * node : 2 * node + 2])
            ]
            present = tuple(t for t in terms if t is not None)
            states.append(self.plan.add("sum", present) if len(present) == 2 else next(iter(present), None))
        return self._concat([states[i] for i in self.concat])

    def _preprocess(self, name: str, state: int | None, c: int, halved: bool) -> int | None:
        """Adapts a state's channels, and its resolution if the cell before has halved the other state."""
        if not self.config.preproc:
            return self.plan.add("subsample", (state,), stride=2) if halved and state is not None else state
        kind, stride = ("factorized_reduce", 2) if halved else ("relu_conv_bn", 1)
        return self._add(kind, state, name, c, self.c_out, 1, stride)

    def _edge(self, number: int, edge: Edge, states: list[int | None]) -> int | None:
        op, source = edge
        if op not in OPS or not 0 <= source < len(states):
            raise ArchrepError(
                f"Not an edge of a DeepNets cell: {edge!r}. Operations: {', '.join(OPS)}; states 0 … {len(states) - 1}."
            )
        state = states[source]
        from_outside = source < 2
        stride = self.stride if from_outside else 1
        c_in = self.c_in if from_outside else self.c_out
        if op == "none":
            return None
        if op == "skip_connect" and stride == 1:
            return state
        kind, kernel = _parse(op)
        return self._add(kind, state, f"_ops.{number}", c_in, self.c_out, kernel, stride)

    def _add(self, kind: str, state: int | None, name: str, c_in: int, c_out: int, k: int, stride: int) -> int | None:
        """A step that never runs is added too: its parameters exist in the network."""
        inputs = () if state is None else (state,)
        position = self.plan.add(
            kind, inputs, name=f"{self.name}.{name}", c_in=c_in, c_out=c_out, kernel=k, stride=stride
        )
        return position if inputs else None

    def _concat(self, states: list[int | None]) -> int | None:
        """Absent states count as zeros, so that the number of channels stays as planned."""
        present = next((s for s in states if s is not None), None)
        if present is None or len(states) == 1:
            return present
        zeros = self.plan.add("zeros", (present,)) if None in states else present
        return self.plan.add("concat", tuple(zeros if s is None else s for s in states))


def _parse(op: str) -> tuple[str, int]:
    """'sep_conv_5x5' → ('sep_conv', 5); 'conv_7x1_1x7' → ('conv2', 7); 'skip_connect' → a factorised reduction."""
    if op == "skip_connect":
        return "factorized_reduce", 1
    if op == "conv_7x1_1x7":
        return "conv2", 7
    match = re.fullmatch(r"(\w+)_(\d)x\2", op)
    return (match[1], int(match[2])) if match else (op, 1)


def _add_head(plan: Plan, config: DeepNetConfig, state: int, c: int, num_classes: int) -> None:
    if config.glob_avg:
        state = plan.add("glob_avg", (state,), size=1)
    else:
        c *= plan.steps[state].size_out ** 2
    hidden = [config.fc_dim] * max(config.fc_layers - 1, 0)
    widths = [c, *hidden, num_classes]
    state = plan.add("flatten", (state,), size=1)
    for i, (c_in, c_out) in enumerate(pairwise(widths)):
        if i > 0:
            state = plan.add("relu", (state,))
            state = plan.add("dropout", (state,), name=f"classifier.{3 * i - 1}")
        state = plan.add("linear", (state,), name=f"classifier.{3 * i}", c_in=c_in, c_out=c_out)


def _live(steps: list[Step]) -> list[int]:
    alive = {len(steps) - 1}
    for i in range(len(steps) - 1, 0, -1):
        if i in alive:
            alive.update(steps[i].inputs)
    return sorted(alive)
