"""The graph hypernetwork: encoder → graph network → decoder (paper § 4; GHN-1: arXiv:1810.05749)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from archrep.errors import ArchrepError
from archrep.ghn.config import GHNConfig
from archrep.ghn.decoder import TensorDecoder, VectorDecoder, normalize, tile
from archrep.ghn.encoder import NodeEncoder
from archrep.ghn.gnn import GatedGNN, NodeMLP
from archrep.graph.archgraph import ArchGraph
from archrep.graph.batch import GraphBatch, batches
from archrep.graph.build import as_4d
from archrep.seeding import seeded


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
        self.encoder = NodeEncoder(d, config.num_classes, config.max_shape[3])
        self.gnn = GatedGNN(d, config.virtual_edges) if config.gnn == "gated" else NodeMLP(d)
        self.norm = nn.LayerNorm(d) if config.layer_norm else nn.Identity()
        self.tensors = TensorDecoder(d, config.max_shape, config.num_classes)
        self.vectors = VectorDecoder(d, max(config.max_shape[:2]), config.num_classes)

    @classmethod
    def load(cls, path: str | Path) -> "GHN":
        """Reads a checkpoint written by `save`.

        Raises:
            ArchrepError: if the file is missing, truncated, of another format version or not a GHN.
        """
        from archrep.ghn.checkpoint import load_ghn

        return load_ghn(Path(path))

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

    def forward(self, batch: GraphBatch) -> Tensor:
        """Final node states (B, n, d); arbitrary in the padding."""
        states = self.encoder(batch.primitive, batch.shape)  # (B, n, d)
        return self.norm(self.gnn(states, batch))  # (B, n, d)

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.vectors.classes.weight.device

    @torch.no_grad()
    def node_states(self, graph: ArchGraph) -> Tensor:
        """Final node states (N, d) float32, in the graph's node order."""
        return self(GraphBatch.from_graphs([graph]).to(self.device))[0]

    @torch.no_grad()
    def embed(self, graphs: Sequence[ArchGraph]) -> Tensor:
        """Embeddings (B, d) float32: mean over the final node states (paper § 5.2).

        Graphs are batched by size within a fixed budget, so memory does not grow with their number.

        Raises:
            ArchrepError: if there are no graphs.
        """
        if isinstance(graphs, ArchGraph):
            raise ArchrepError("embed takes a list of graphs; for one graph, write ghn.embed([graph]).")
        if len(graphs) == 0:
            raise ArchrepError("No graphs to embed: give at least one architecture.")
        out = torch.empty(len(graphs), self.config.hidden)
        for positions in batches(graphs):
            batch = GraphBatch.from_graphs([graphs[i] for i in positions]).to(self.device)
            states = self(batch).masked_fill(~batch.mask[:, :, None], 0.0)  # (B, n, d)
            out[positions] = (states.sum(dim=1) / batch.mask.sum(dim=1, keepdim=True)).cpu()
        return out

    @torch.no_grad()
    def predict(self, graph: ArchGraph) -> dict[str, Tensor]:
        """Predicted parameters: a tensor of the network's shape for every name in `graph.parameters`."""
        values = self.predict_many([graph])[0]
        return {name: value.clone(memory_format=torch.contiguous_format) for name, value in values.items()}

    def predict_many(self, graphs: Sequence[ArchGraph]) -> list[dict[str, Tensor]]:
        """Predicted parameters of several architectures, with gradients; nodes of like shape decode together."""
        batch = GraphBatch.from_graphs(graphs).to(self.device)
        states = self(batch)
        groups: dict[tuple, list[tuple[int, int]]] = defaultdict(list)
        for b, graph in enumerate(graphs):
            classifier = _classifier(graph)
            for node, names in enumerate(graph.parameters):
                if names:
                    groups[self._group(graph.param_shapes[names[0]], classifier.get(node))].append((b, node))
        predicted: list[dict[str, Tensor]] = [{} for _ in graphs]
        for (kind, prefix), nodes in groups.items():
            rows, columns = zip(*nodes, strict=True)
            decoded = self._decode(kind, prefix, states[list(rows), list(columns)])
            for (b, node), tensor in zip(nodes, decoded, strict=True):
                predicted[b].update(self._finish(graphs[b], node, tensor, kind))
        return [  # in the network's own order of parameters
            {name: values[name] for name in graph.param_shapes} for graph, values in zip(graphs, predicted, strict=True)
        ]

    def _group(self, shape: tuple[int, ...], classifier: str | None) -> tuple:
        """What decoder makes a parameter of this shape, and which prefix of its largest tensor is needed."""
        if len(shape) < 2:
            return (classifier or "vector", ())
        out, into, height, width = (*shape, 1) if len(shape) == 3 else as_4d(shape)
        if classifier:
            return (classifier, _round_up(into, self.config.max_shape[1]))
        most = self.config.max_shape
        prefix = (_round_up(out, most[0]), _round_up(into, most[1]), min(height, most[2]), min(width, most[3]))
        return ("tensor", prefix)

    def _decode(self, kind: str, prefix, states: Tensor) -> Tensor:
        """States (k, d) of one group → k tensors as the decoder makes them."""
        if kind == "tensor":
            return self.tensors(states, prefix)
        if kind == "class_weight":
            return self.tensors.class_weights(states, prefix)
        return self.vectors.class_biases(states) if kind == "class_bias" else self.vectors(states)

    def _finish(self, graph: ArchGraph, node: int, tensor: Tensor, kind: str) -> dict[str, Tensor]:
        """Tiles and normalises what was decoded for one node; a norm's bias comes with its weight."""
        primitive = graph.primitives_of(node)
        values = {}
        for position, name in enumerate(graph.parameters[node]):
            is_bias = primitive == "bias" or position > 0
            source = tensor[int(is_bias)] if kind == "vector" else tensor
            value = tile(source, graph.param_shapes[name])
            values[name] = normalize(value, primitive, is_bias) if self.config.normalize else value
        return values


def _round_up(size: int, most: int) -> int:
    """Next power of two, at most `most`: fewer groups, little computed in vain."""
    return min(1 << (size - 1).bit_length(), most)


def _classifier(graph: ArchGraph) -> dict[int, str]:
    """The classification layer: a linear weight whose bias is the graph's last node."""
    last = len(graph.parameters) - 1
    sources = graph.edge_index[0][graph.edge_index[1] == last].tolist()
    if graph.primitives_of(last) != "bias" or len(sources) != 1 or not graph.parameters[sources[0]]:
        return {}
    weight = graph.param_shapes[graph.parameters[sources[0]][0]]
    return {sources[0]: "class_weight", last: "class_bias"} if len(weight) == 2 else {}
