"""The graph hypernetwork: encoder → graph network → decoder (paper § 4; GHN-1: arXiv:1810.05749)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from archrep.errors import ArchrepError
from archrep.ghn.config import GHNConfig
from archrep.ghn.decoder import TensorDecoder, VectorDecoder, bounded_bias, bounded_scale, fan_in_scale, tile
from archrep.ghn.encoder import NodeEncoder
from archrep.ghn.gnn import GatedGNN, NodeMLP
from archrep.graph.archgraph import ArchGraph, Shape
from archrep.graph.batch import GraphBatch, batches, graphs_of
from archrep.graph.build import as_4d
from archrep.graph.primitives import VOCABULARIES
from archrep.seeding import seeded

DECODED = 2**20  # floats that are decoded at a time


class GHN(nn.Module):
    """Graph hypernetwork.

    Attributes:
        config: what it is made of.
        provenance: where its weights come from (free-form, stored in the checkpoint).
    """

    def __init__(self, config: GHNConfig = GHNConfig(), provenance: Mapping | None = None) -> None:
        super().__init__()
        self.config = config
        self.provenance = dict(provenance or {})
        d = config.hidden
        self.encoder = NodeEncoder(d, config.num_classes, config.max_shape[3], len(VOCABULARIES[config.vocabulary]))
        self.gnn = GatedGNN(d, config.virtual_edges) if config.gnn == "gated" else NodeMLP(d)
        self.norm = nn.LayerNorm(d) if config.layer_norm else nn.Identity()
        self.tensors = TensorDecoder(d, config.max_shape, config.num_classes)
        self.vectors = VectorDecoder(d, max(config.max_shape[:2]), config.num_classes)

    @classmethod
    def load(cls, path: str | Path) -> "GHN":
        """Reads a checkpoint written by `save`, or a released one (`.pt`).

        Raises:
            ArchrepError: if the file is missing, truncated, of another format version or not a GHN.
        """
        from archrep.ghn.checkpoint import RELEASED_SUFFIXES, load_ghn
        from archrep.ghn.released import load_released

        path = Path(path)
        return load_released(path) if path.suffix in RELEASED_SUFFIXES else load_ghn(path)

    @classmethod
    def untrained(cls, config: GHNConfig = GHNConfig(), seed: int = 0) -> "GHN":
        """A freshly initialised GHN; leaves the global random state alone."""
        with seeded(seed):
            return cls(config, {"untrained": True, "seed": seed}).eval()

    def save(self, path: str | Path, force: bool = False) -> None:
        """Writes a safetensors checkpoint: weights, config, primitives and provenance.

        Raises:
            ArchrepError: if the file exists and `force` is False, or cannot be written.
        """
        from archrep.ghn.checkpoint import save_ghn

        save_ghn(self, Path(path), force)

    def forward(self, graphs: Iterable[ArchGraph] | Batch, batch: GraphBatch | None = None) -> Tensor:
        """Final node states (N, d) of all graphs, one graph after the other, in their order of nodes.

        Args:
            graphs: a list, or a torch_geometric batch of them.
            batch: `GraphBatch.from_graphs(graphs)` where it exists already; changes no result.

        Raises:
            ArchrepError: if a graph has another vocabulary than the GHN.
        """
        graphs = graphs_of(graphs)
        other = next((g.vocabulary for g in graphs if g.vocabulary != self.config.vocabulary), None)
        if other:
            raise ArchrepError(
                f"A graph has the {other} vocabulary, this GHN takes the {self.config.vocabulary} one: "
                f"capture with vocabulary={self.config.vocabulary!r}."
            )
        primitive = torch.cat([graph.primitive for graph in graphs]).to(self.device)
        shape = torch.cat([graph.shape for graph in graphs]).to(self.device)
        return self.norm(self.gnn(self.encoder(primitive, shape), graphs, batch))

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.vectors.classes.weight.device

    @torch.no_grad()
    def node_states(self, graph: ArchGraph) -> Tensor:
        """Final node states (N, d) float32, in the graph's node order."""
        return self([graph])

    @torch.no_grad()
    def embed(self, graphs: Iterable[ArchGraph] | Batch, batch_size: int = 64) -> Tensor:
        """Embeddings (B, d) float32 on the CPU: mean over the final node states (paper § 5.2).

        Args:
            graphs: any number of graphs, or a torch_geometric batch of them; memory does not grow with their number,
                but for the result.
            batch_size: graphs that are embedded together, at most; changes no result.

        Raises:
            ArchrepError: if there are no graphs, or the batch size is not positive.
        """
        if isinstance(graphs, ArchGraph) and not isinstance(graphs, Batch):
            raise ArchrepError("embed takes a list of graphs; for one graph, write ghn.embed([graph]).")
        graphs = graphs_of(graphs)
        if not graphs:
            raise ArchrepError("No graphs to embed: give at least one architecture.")
        if batch_size < 1:
            raise ArchrepError(f"batch_size must be at least 1; got {batch_size}.")
        out = torch.empty(len(graphs), self.config.hidden, dtype=torch.float32, device="cpu")
        for positions in batches(graphs, batch_size):
            batch = [graphs[i] for i in positions]
            sizes = torch.tensor([len(graph.primitive) for graph in batch], device=self.device)
            out[positions] = torch.segment_reduce(self(batch), "mean", lengths=sizes).float().cpu()
        return out

    @torch.no_grad()
    def predict(self, graph: ArchGraph) -> dict[str, Tensor]:
        """Predicted parameters of one architecture.

        Returns:
            For every name in `graph.parameters` a contiguous tensor of the parameter's shape, with memory of
            its own, on the GHN's device.
        """
        return {name: _with_own_memory(value) for name, value in self.predict_many([graph])[0].items()}

    def predict_many(
        self, graphs: Iterable[ArchGraph] | Batch, batch: GraphBatch | None = None
    ) -> list[dict[str, Tensor]]:
        """Predicted parameters of several architectures, with gradients; tensors may share memory.

        Parameters of like shape are decoded together, in all architectures. Arguments as of `forward`.
        """
        graphs = graphs_of(graphs)
        states = self(graphs, batch)
        groups: dict[tuple[str, Shape], list[_Parameter]] = defaultdict(list)
        first = 0
        for b, graph in enumerate(graphs):
            classifier = _classifier(graph)
            nodes = zip(graph.primitives, graph.parameters, graph.parameter_shapes, strict=True)
            for node, (primitive, names, shapes) in enumerate(nodes):
                for position, (name, shape) in enumerate(zip(names, shapes, strict=True)):
                    is_bias = position > 0 or primitive == "bias"
                    key = _group(shape, is_bias, node in classifier, self.config.max_shape)
                    groups[key].append(_Parameter(b, first + node, name, shape, primitive))
            first += len(graph.primitive)
        predicted: list[dict[str, Tensor]] = [{} for _ in graphs]
        tracked = torch.is_grad_enabled()  # then everything stays in memory, and parts would only cost time
        weights = self.tensors.weights({prefix for _, prefix in groups if prefix}) if tracked else {}
        for (kind, prefix), whole in groups.items():
            own = weights.get(prefix) or (self.tensors.weights([prefix])[prefix] if prefix else ())
            for group in [whole] if tracked else _chunks(whole, self.tensors.cost(prefix) if prefix else 1):
                decoded = self._decode(kind, prefix, own, states[[p.state for p in group]], group)
                for parameter, tensor in zip(group, decoded, strict=True):
                    predicted[parameter.graph][parameter.name] = tile(tensor, parameter.shape)
        return [  # in the network's own order of parameters
            {name: values[name] for name in graph.param_shapes} for graph, values in zip(graphs, predicted, strict=True)
        ]

    def _decode(self, kind: str, prefix: Shape, weights: tuple[Tensor, ...], states: Tensor, group: "list[_Parameter]"):
        """States (k, d) of a group → k tensors, normalised; vectors tiled to a common length, others not yet."""
        normalized = self.config.normalize
        if prefix:
            tensors = self.tensors(states, prefix, weights)
            tensors = self.tensors.class_weights(tensors) if kind == "class_weight" else tensors
            return self._scaled(tensors, group) if normalized else tensors
        vectors = (
            self.vectors.class_biases(states) if kind == "class_bias" else self.vectors(states)[:, int(kind == "bias")]
        )
        if normalized:
            vectors = bounded_scale(vectors) if kind == "scale" else bounded_bias(vectors)
        longest = max(prod(p.shape) for p in group)
        return tile(vectors, (len(group), min(longest, 64 * vectors.shape[1])))

    def _scaled(self, tensors: Tensor, group: "list[_Parameter]") -> Tensor:
        """Fan-in normalisation of tensors (k, …), in place."""
        scales = torch.tensor([fan_in_scale(p.primitive, p.shape) for p in group]).to(tensors)
        return tensors.mul_(scales.view(-1, *[1] * (tensors.dim() - 1)))


class _Parameter(NamedTuple):
    """A parameter to predict: its graph's position, its node's row of the states, its name, shape and primitive."""

    graph: int
    state: int
    name: str
    shape: Shape
    primitive: str


@lru_cache(maxsize=10_000)
def _group(shape: Shape, is_bias: bool, is_classifier: bool, most: Shape) -> tuple[str, Shape]:
    """What decodes a parameter of this shape; the prefix of the largest tensor (`most`) it needs, () for vectors."""
    if len(shape) < 2:
        return ("class_bias" if is_classifier else "bias" if is_bias else "scale"), ()
    out, into, height, width = (*shape, 1) if len(shape) == 3 else as_4d(shape)
    if is_classifier:
        return "class_weight", (most[0], _round_up(into, most[1]), 1, 1)
    prefix = (_round_up(out, most[0]), _round_up(into, most[1]), min(height, most[2]), min(width, most[3]))
    return "tensor", prefix


def _with_own_memory(tensor: Tensor) -> Tensor:
    owns = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes
    return tensor if owns else tensor.clone(memory_format=torch.contiguous_format)


def _chunks(group: "list[_Parameter]", cost: int) -> "Iterator[list[_Parameter]]":
    """Parts of a group whose decoding needs a bounded number of floats; `cost` is that of one parameter."""
    size = max(DECODED // cost, 1)
    return (group[i : i + size] for i in range(0, len(group), size))


def _round_up(size: int, most: int) -> int:
    """Next multiple of 8, at most `most`: fewer groups, little computed in vain."""
    return min(-(-size // 8) * 8 if size > 4 else size, most)


def _classifier(graph: ArchGraph) -> tuple[int, ...]:
    """Nodes of the classification layer: a linear weight whose bias is the graph's last node."""
    last = len(graph.parameters) - 1
    sources = graph.edge_index[0][graph.edge_index[1] == last].tolist()
    if graph.primitives_of(last) != "bias" or len(sources) != 1 or not graph.parameters[sources[0]]:
        return ()
    return (sources[0], last) if len(graph.parameter_shapes[sources[0]][0]) == 2 else ()
