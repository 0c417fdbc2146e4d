"""Zero-cost proxies: what one batch of real images says of a network that is not trained.

- grad_norm: Σ ‖∂L/∂θ‖ over the weights of convolutions and linear layers (Abdelfattah et al. 2021, § 3.2)
- snip: Σ |θ ⊙ ∂L/∂θ| over the same weights (Lee et al. 2019, Eq. 4; Abdelfattah et al. 2021, Eq. 1)
- synflow: Σ θ ⊙ ∂R/∂θ, R the sum of the outputs on ones with |θ| and without norms (Tanaka et al. 2020, Eq. 3)
- jacob_cov: −Σ log(v + k) + 1/(v + k), v the eigenvalues of the correlations of input gradients (Mellor et al. 2020)
- naswot: log |K|, K how many ReLUs two images have in the same state (Mellor et al. 2021, Eq. 1–2)
- params and flops: size and cost

L is the cross-entropy of the batch, batch norm uses its statistics. Sums that span orders of magnitude are given as
log10; ranks are those of the papers' scores. The network's initialisation and the batch follow `Context.seed`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from archrep.errors import ArchrepError, lookup
from archrep.graph.cost import count_flops, count_params
from archrep.probe.encoders.context import Context
from archrep.seeding import seeded
from archrep.space import Architecture
from archrep.space.deepnets import fitted

BATCH = 32  # images
JITTER = 1e-5  # k of jacob_cov
WORST = -1e4  # instead of the logarithm of a singular matrix: networks that tell no two images apart
TINY = 1e-30
NORMS = {"batch_norm", "instance_norm", "group_norm", "layer_norm"}
RELUS = {"relu", "relu_", "relu6", "hardtanh", "gelu", "silu", "hardswish", "leaky_relu", "elu"}


def encode_zero_cost(architectures: Sequence[Architecture], context: Context, argument: str = "") -> np.ndarray:
    """(n, 7): the proxies of the table above, or those named.

    Args:
        argument: names separated by commas; default: all, in the order of `PROXIES`.

    Raises:
        ArchrepError: if there are no images, for an unknown proxy, or an architecture that cannot take the images.
    """
    names = [name for name in argument.split(",") if name] or list(PROXIES)
    proxies = [lookup(PROXIES, name, "zero-cost proxy") for name in names]
    if context.images is None:
        raise ArchrepError(
            "The encoder 'zero-cost' needs images; give --data, or read the columns of a table: columns:nwot,synflow."
        )
    train = context.images.train
    drawn = np.random.default_rng(context.seed).choice(len(train), BATCH, replace=False)
    images, labels = train.batch(torch.from_numpy(drawn))
    rows = []
    for architecture in architectures:
        architecture = fitted(architecture, context.images.num_classes, context.images.image_size)
        with seeded(context.seed):
            network = architecture.build().train()
        row = []
        for proxy in proxies:
            with seeded(context.seed):  # networks may draw at random when they run, too
                row.append(proxy(network, images, labels))
        rows.append(row)
    return np.array(rows, dtype=np.float64)


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """log10 of the sum of the norms of the gradients."""
    return _log(sum(float(gradient.norm()) for _, gradient in _gradients(network, images, labels)))


def snip(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """log10 of the connection sensitivities' sum."""
    return _log(sum(float((w * gradient).abs().sum()) for w, gradient in _gradients(network, images, labels)))


def synflow(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """log10 of the synaptic flow, in double precision: it grows with every layer."""
    values = {name: p.detach().double().abs().requires_grad_() for name, p in network.named_parameters()}
    ones = torch.ones_like(images[:1], dtype=torch.float64)
    with _WithoutNorms():
        total = torch.func.functional_call(network, values, (ones,)).sum()
    weights = [p for p in values.values() if p.dim() > 1]
    gradients = torch.autograd.grad(total, weights, allow_unused=True)
    return _log(sum(float((w.detach() * g).sum()) for w, g in zip(weights, gradients, strict=True) if g is not None))


def jacob_cov(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """How unlike the images' gradients are; 0 correlations are best."""
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x).sum(), x)
    rows = gradient.flatten(1).double().numpy()  # (B, 3·H·W)
    if not np.isfinite(rows).all() or (np.ptp(rows, axis=1) == 0).any():
        return WORST
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(rows)) + JITTER
    return -float(np.sum(np.log(np.maximum(eigenvalues, JITTER)) + 1 / np.maximum(eigenvalues, JITTER)))


def naswot(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Log-determinant of the kernel of ReLU states."""
    with torch.no_grad(), _States(len(images)) as states:
        network(images)
    sign, value = np.linalg.slogdet(states.kernel)
    return float(value) if sign > 0 and np.isfinite(value) else WORST


PROXIES: dict[str, Callable[[nn.Module, Tensor, Tensor], float]] = {
    "synflow": synflow,
    "snip": snip,
    "grad_norm": grad_norm,
    "jacob_cov": jacob_cov,
    "naswot": naswot,
    "params": lambda network, images, labels: _log(count_params(network)),
    "flops": lambda network, images, labels: _log(count_flops(network, images.shape[1:])),
}


def _gradients(network: nn.Module, images: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weights of convolutions and linear layers with the gradient of the cross-entropy."""
    weights = [p for p in network.parameters() if p.dim() > 1]
    gradients = torch.autograd.grad(F.cross_entropy(network(images), labels), weights, allow_unused=True)
    return [(w.detach(), g) for w, g in zip(weights, gradients, strict=True) if g is not None]


def _log(value: float) -> float:
    return float(np.log10(max(value, TINY))) if np.isfinite(value) else WORST


class _WithoutNorms(TorchFunctionMode):
    """Norms hand on their input."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in NORMS:
            return args[0] if args else kwargs["input"]
        return func(*args, **kwargs)


class _States(TorchFunctionMode):
    """Adds up, over all rectifiers, how many of their units two of B images have in the same state: kernel (B, B)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.kernel = np.zeros((size, size))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in RELUS and len(result) == len(self.kernel):
            on = (result.flatten(1) > 0).float()
            self.kernel += (on @ on.t() + (1 - on) @ (1 - on).t()).double().numpy()
        return result
