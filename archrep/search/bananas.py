"""BANANAS (White et al., AAAI 2021): an ensemble of neural networks on path encodings, Thompson sampling, mutations.

Of the paper (Algorithm 1, § 5): five networks, ten random architectures first, ten queries per refit, candidates by
mutating the best, independent Thompson sampling. Other than there, the networks have two hidden layers of 32 and
learn normal scores by mean absolute error, in a tenth of a second.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from archrep.probe.transform import normal_scores
from archrep.search.state import START, Search

BATCH = 10
NETWORKS, WIDTH, LAYERS = 5, 32, 2
STEPS, RATE, DECAY = 80, 0.02, 1e-4
PARENTS, CANDIDATES = 10, 200


class Bananas:
    """See the module; one object per run."""

    def __init__(self, encoder: str) -> None:
        self.encoder = encoder
        self.waiting: list[int] = []

    def propose(self, search: Search) -> int | None:
        """The next of the ten that the last ensemble chose."""
        if len(search.paid) < START:
            return search.draw()
        self.waiting = [i for i in self.waiting if not search.known[i]]
        if not self.waiting:
            candidates = self._candidates(search)
            if len(candidates) == 0:
                return search.draw()
            x = search.candidates.encodings[self.encoder]
            y = np.array(search.values)
            t = normal_scores(y).forward(y) if np.ptp(y) > 0 else np.zeros(len(y))
            mean, sd = predict_by_ensemble(x[search.paid], t, x[candidates], int(search.rng.integers(2**31)))
            drawn = search.rng.normal(mean, sd)
            self.waiting = candidates[np.argsort(drawn, kind="stable")[-BATCH:]].tolist()
        return self.waiting.pop()

    def _candidates(self, search: Search) -> np.ndarray:
        """Neighbours of the best, and random ones if these are few; unknown, and one of each functional class."""
        near = search.candidates.neighbours
        around = np.concatenate([near.of(i) for i in search.best(PARENTS)]).astype(int)
        found = np.concatenate([search.rng.permutation(np.unique(around)), search.rng.permutation(search.order)])
        found = found[~search.known[found]]
        _, first = np.unique(search.candidates.classes[found], return_index=True)
        return found[np.sort(first)][:CANDIDATES]


def predict_by_ensemble(x: np.ndarray, y: np.ndarray, new: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (m,) of the networks' predictions; all networks are trained at once.

    Args:
        x: (n, d). y: (n,) with mean about 0 and variance about 1. new: (m, d).
    """
    centre, spread = x.mean(axis=0), x.std(axis=0) + 1e-3
    generator = torch.Generator().manual_seed(seed)
    seen, wanted = (torch.from_numpy((part - centre) / spread).float().clamp(-5, 5) for part in (x, new))
    target = torch.from_numpy(y).float()
    sizes = [x.shape[1], *[WIDTH] * LAYERS, 1]
    weights = [
        (torch.randn(NETWORKS, a, b, generator=generator) * (2 / a) ** 0.5).requires_grad_() for a, b in pairwise(sizes)
    ]
    biases = [torch.zeros(NETWORKS, 1, b, requires_grad=True) for b in sizes[1:]]
    optimizer = torch.optim.Adam([*weights, *biases], RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        loss = (_forward(seen, weights, biases) - target).abs().mean(dim=1).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        predicted = _forward(wanted, weights, biases).numpy()  # (networks, m)
    return predicted.mean(axis=0), predicted.std(axis=0)


def _forward(x: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
    """(n, d) → (networks, n)."""
    h = x.expand(NETWORKS, *x.shape)
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        h = torch.relu(h @ weight + bias)
    return (h @ weights[-1] + biases[-1]).squeeze(-1)
