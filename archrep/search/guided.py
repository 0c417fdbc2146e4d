"""Search guided by a Gaussian process on any encoding: expected improvement or Thompson sampling.

The process learns the normal scores of what was paid for, so that the scale of bad architectures does not matter, and
looks at one member of every functional class of the pool that is not known.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import solve_triangular
from scipy.stats import norm

from archrep.probe.gp import ROOT3, tune
from archrep.probe.transform import normal_scores
from archrep.search.state import START, Search, Strategy

REFIT = 10  # the kernel is tuned after so many further ones; in between, each adds one row to the factorisation
LARGEST = 20_000  # at most so many classes of a pool are looked at, drawn at random for every run
FEATURES = 512  # random Fourier features of a sample of the prior
TINY = 1e-8


class Posterior:
    """A Gaussian process on m candidates, kept up to date by one row per observation.

    With K the kernel matrix of the q observations and L its Cholesky factor, `rows` is V = L⁻¹ k(observed, candidates):
    the mean is Vᵀ L⁻¹ t and the variance k(x, x) - Σ V² (Rasmussen & Williams 2006, Algorithm 2.1). As observations
    are candidates, a new row of L is a column of V. The kernel is that of `archrep.probe.gp`.
    """

    def __init__(self, x: np.ndarray) -> None:
        """Args: x: (m, d); columns are standardised here."""
        spread = x.std(axis=0)
        z = (x - x.mean(axis=0))[:, spread > TINY] / spread[spread > TINY]
        self.x = np.ascontiguousarray(z)  # (m, d')
        self.squares = (self.x**2).sum(axis=1)
        self.amplitude, self.length, self.noise = 1.0, 1.0, 0.1
        self.observed: list[int] = []
        self.rows = np.empty((0, len(self.x)))  # V; the first q of them are used
        self.factor = np.empty((0, 0))  # L
        self.variance = np.full(len(self.x), self.amplitude)
        self.features: np.ndarray | None = None  # (m, FEATURES) of samples of the prior

    def refit(self, t: np.ndarray, seed: int) -> None:
        """Tunes the kernel on the observations' transformed values (q,) and factorises anew."""
        self.amplitude, self.length, self.noise = np.exp(tune(self.x[self.observed], t, seed).theta)
        cross = self.kernel(self.observed)  # (q, m)
        q = len(cross)
        factor = np.linalg.cholesky(cross[:, self.observed] + self.noise * np.eye(q))
        solved = solve_triangular(factor, cross, lower=True)
        self.variance = self.amplitude - (solved**2).sum(axis=0)
        self.rows, self.factor = np.empty((q + REFIT, len(self.x))), np.zeros((q + REFIT, q + REFIT))
        self.rows[:q], self.factor[:q, :q] = solved, factor
        self.features = None

    def observe(self, candidate: int) -> None:
        """Adds an observation: O(q m)."""
        q = len(self.observed)
        if q == len(self.rows):
            self.rows = np.concatenate([self.rows, np.empty((REFIT, len(self.x)))])
            self.factor = np.pad(self.factor, (0, REFIT))
        before = self.rows[:q, candidate].copy()
        pivot = np.sqrt(np.maximum(self.amplitude + self.noise - before @ before, TINY))
        self.rows[q] = (self.kernel([candidate])[0] - before @ self.rows[:q]) / pivot
        self.factor[q, :q], self.factor[q, q] = before, pivot
        self.variance -= self.rows[q] ** 2
        self.observed.append(candidate)

    def kernel(self, candidates: list[int]) -> np.ndarray:
        """(c, m) covariance of some candidates with all."""
        r = self.squares[candidates, None] + self.squares - 2 * self.x[candidates] @ self.x.T
        r = np.sqrt(np.maximum(r, 0, out=r), out=r)
        r *= ROOT3 / self.length
        return self.amplitude * (1 + r) * np.exp(-r)

    def mean(self, t: np.ndarray) -> np.ndarray:
        """(m,) posterior mean from the observations' transformed values (q,)."""
        q = len(t)
        return solve_triangular(self.factor[:q, :q], t, lower=True) @ self.rows[:q]

    def sd(self) -> np.ndarray:
        """(m,) posterior standard deviation of the noiseless value."""
        return np.sqrt(np.maximum(self.variance, TINY))

    def sample(self, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(m,) one function from the posterior, by Matheron's rule (Wilson et al., ICML 2020, eq. 13).

        The prior's sample has random Fourier features: frequencies of a Matérn-3/2 kernel follow Student's t with
        three degrees of freedom (Rahimi & Recht 2007). They stay until the kernel changes; their weights do not.
        """
        if self.features is None:
            scale = self.length * np.sqrt(rng.chisquare(3, FEATURES) / 3)
            phase = self.x @ (rng.normal(size=(self.x.shape[1], FEATURES)) / scale)
            phase = (phase + rng.uniform(0, 2 * np.pi, FEATURES)).astype(np.float32)
            self.features = np.cos(phase) * np.float32(np.sqrt(2 / FEATURES))
        prior = self.features @ rng.normal(0, np.sqrt(self.amplitude), FEATURES).astype(np.float32)
        noisy = prior[self.observed] + rng.normal(0, np.sqrt(self.noise), len(t))
        return prior + self.mean(t - noisy)


Acquisition = Callable[[Posterior, np.ndarray, np.random.Generator], np.ndarray]  # (posterior, t, rng) → (m,)


def expected_improvement(posterior: Posterior, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(m,) by how much a candidate is expected to exceed the best observed value (Jones et al. 1998, eq. 15)."""
    sd = posterior.sd()
    gain = posterior.mean(t) - t.max()
    return gain * norm.cdf(gain / sd) + sd * norm.pdf(gain / sd)


def thompson(posterior: Posterior, t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(m,) a function drawn from the posterior; its best candidate is proposed (Thompson 1933)."""
    return posterior.sample(t, rng)


class Guided:
    """Random architectures first, then the candidate with the largest acquisition."""

    def __init__(self, encoder: str, acquisition: Acquisition) -> None:
        self.encoder, self.acquisition = encoder, acquisition
        self.members = np.empty(0, dtype=int)  # (m,) position of the candidates in the pool
        self.place: dict[int, int] = {}  # class → candidate
        self.posterior: Posterior | None = None
        self.tuned_on = 0

    def propose(self, search: Search) -> int | None:
        """The next random start, or the best candidate of an unknown class; ties are broken at random."""
        if len(search.paid) < START:
            return search.draw()
        if self.posterior is None:
            self._begin(search)
        assert self.posterior is not None
        open_ = np.flatnonzero(~search.known[self.members])
        if len(open_) == 0:
            return search.draw()
        values = np.array(search.values)
        if np.ptp(values) == 0:
            return int(self.members[search.rng.choice(open_)])
        t = normal_scores(values).forward(values)
        self._update(search, t)
        score = self.acquisition(self.posterior, t, search.rng)[open_]
        return int(self.members[open_[search.rng.choice(np.flatnonzero(score == score.max()))]])

    def _begin(self, search: Search) -> None:
        """One random member of every class, those that are paid for among them."""
        classes = search.candidates.classes
        order = np.concatenate([search.paid, search.order]).astype(int)
        _, first = np.unique(classes[order], return_index=True)
        self.members = order[np.sort(first)][:LARGEST]
        self.place = {int(classes[member]): i for i, member in enumerate(self.members)}
        self.posterior = Posterior(search.candidates.encodings[self.encoder][self.members])

    def _update(self, search: Search, t: np.ndarray) -> None:
        posterior = self.posterior
        assert posterior is not None
        for position in search.paid[len(posterior.observed) :]:
            posterior.observe(self.place[int(search.candidates.classes[position])])
        if len(t) >= self.tuned_on + REFIT or not self.tuned_on:
            posterior.refit(t, 0)
            self.tuned_on = len(t)


def guided(acquisition: Acquisition) -> Callable[[str], Strategy]:
    """Makes strategies with that acquisition from an encoder spec."""
    return lambda encoder: Guided(encoder, acquisition)
