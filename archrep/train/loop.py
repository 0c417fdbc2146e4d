"""Bi-level training of a GHN (paper Eq. 2): the mean loss of a meta-batch of architectures on a batch of images.

Everything random in a step follows from (seed, step), so a run that was killed continues from its last save
exactly as if it had never stopped (CPU, same number of threads and processes).
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from archrep.data.images import Images
from archrep.ghn.model import GHN
from archrep.seeding import reseed, seeded
from archrep.space.architecture import Architecture
from archrep.train.config import TrainConfig
from archrep.train.functional import run, skeleton
from archrep.train.group import Group
from archrep.train.steps import Step, Steps, seed_of

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
HALF_PRECISION = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class StepResult:
    """Mean loss and accuracy (%) over the finite architectures of a meta-batch; how many were skipped."""

    loss: float
    accuracy: float
    skipped: int


@dataclass(frozen=True)
class _Trained:
    """What one architecture of a step gives.

    Attributes:
        predicted: predicted tensors that the network uses. grads: of the loss, in them.
        figures: (3,) loss, accuracy in %, norm of the gradient.
    """

    predicted: list[Tensor]
    grads: list[Tensor]
    figures: Tensor


class Trainer:
    """A GHN in training, with its optimiser and position.

    Attributes:
        ghn: the same in all processes of the group. steps: what every step gets. step: number of steps done.
    """

    def __init__(self, config: TrainConfig, images: Images, group: Group | None = None) -> None:
        self.config, self.group = config, group or Group()
        self.device = self.group.device
        self.ghn = GHN.untrained(config.ghn, config.seed).to(self.device).train()
        optimizer = OPTIMIZERS[config.optimizer]
        self.optimizer = optimizer(self.ghn.parameters(), config.lr, weight_decay=config.weight_decay, fused=True)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.amp == "fp16")
        self.scaler.scale(torch.zeros((), device=self.device))  # sets it up, also where there is nothing to scale
        self.steps = Steps(config, images, self.group)
        self.step = 0

    def run(self) -> Iterator[StepResult]:
        """Advances until the configured number of steps."""
        for step in self.steps.iterate(self.step):
            yield self.advance(step)

    def advance(self, step: Step) -> StepResult:
        """One optimiser step.

        The gradient of a network stops at its predicted tensors, so no more than one network's activations are in
        memory; then all of them go through the GHN at once.
        """
        x, y = (t.to(self.device, non_blocking=True) for t in (step.images, step.labels))
        architectures = [a for _, a in step.architectures]
        graphs = [a.graph_in(self.config.ghn.vocabulary) for a in architectures]
        predicted = self.ghn.predict_many(graphs, step.batch) if graphs else []
        trained = []
        with seeded(0, self.device):  # leaves the global state alone
            for (position, architecture), parameters in zip(step.architectures, predicted, strict=True):
                reseed(seed_of(self.config.seed, self.step, 1, position), self.device)  # dropout
                trained.append(self._train(architecture, parameters, x, y))
        finite, totals = self._finite(trained)
        count, loss, accuracy = self._update(finite, totals)
        self.step += 1
        skipped = self.config.meta_batch - count
        return StepResult(loss / count, accuracy / count, skipped) if count else StepResult(math.nan, math.nan, skipped)

    def _train(self, architecture: Architecture, parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> _Trained:
        """Forward and backward of one network."""
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        with self._autocast():
            logits = run(skeleton(architecture).train(), leaves, x)
            loss = F.cross_entropy(logits, y, label_smoothing=self.config.label_smoothing)
        self.scaler.scale(loss / self.config.meta_batch).backward()
        used = [name for name, leaf in leaves.items() if leaf.grad is not None]
        grads = [grad for name in used if (grad := leaves[name].grad) is not None]
        accuracy = 100 * (logits.detach().argmax(dim=1) == y).float().mean()
        norm = torch.stack(torch._foreach_norm(grads)).norm()
        if self.config.network_clip is not None:
            largest = self.config.network_clip * self.scaler.get_scale() / self.config.meta_batch
            torch._foreach_mul_(grads, (largest / (norm + 1e-12)).clamp(max=1))  # NaN stays NaN
        return _Trained(
            [parameters[name] for name in used], grads, torch.stack([loss.detach(), accuracy, norm]).float()
        )

    def _autocast(self) -> AbstractContextManager:
        dtype = HALF_PRECISION.get(self.config.amp)
        return torch.autocast(self.device.type, dtype, enabled=dtype is not None)

    def _finite(self, trained: list[_Trained]) -> tuple[list[_Trained], Tensor]:
        """Those without infinity or NaN, and (3,) their number, summed loss and accuracy.

        In fp16, a gradient that overflows is no reason here: the scaler leaves out the whole step and scales down.
        """
        if not trained:
            return [], torch.zeros(3, device=self.device)
        figures = torch.stack([t.figures for t in trained])  # (n, 3)
        checked = figures[:, :1] if self.config.amp == "fp16" else figures
        keep = torch.isfinite(checked).all(dim=1)
        loss, accuracy = figures[keep, :2].sum(dim=0)
        totals = torch.stack([keep.sum().float(), loss, accuracy])
        return [t for t, kept in zip(trained, keep.tolist(), strict=True) if kept], totals

    def _update(self, trained: list[_Trained], totals: Tensor) -> tuple[int, float, float]:
        """Backward through the GHN, once for the meta-batch, and an optimiser step; totals over all processes."""
        weights = list(self.ghn.parameters())
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        if trained:
            torch.autograd.backward([p for t in trained for p in t.predicted], [g for t in trained for g in t.grads])
        self.group.add_up([*(weight.grad for weight in weights if weight.grad is not None), totals])
        count, loss, accuracy = totals.tolist()
        if not count:
            return 0, 0.0, 0.0
        for settings in self.optimizer.param_groups:
            settings["lr"] = self.config.lr_at(self.step)
        self.scaler.unscale_(self.optimizer)
        finite = bool(torch.nn.utils.clip_grad_norm_(weights, self.config.clip).isfinite())
        if finite or self.scaler.is_enabled():
            self.scaler.step(self.optimizer)  # which leaves out a step that is not finite
            self.scaler.update()
        return (int(count), loss, accuracy) if finite else (0, 0.0, 0.0)

    def state(self) -> dict:
        """Everything that a continued run needs, as plain types and tensors."""
        return {
            "step": self.step,
            "ghn": self.ghn.state_dict(),
            "provenance": self.ghn.provenance,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state(self, state: dict) -> None:
        """Continues where `state` was taken.

        Raises:
            ValueError: if it does not fit the configuration, or its weights or moments are not finite.
        """
        step, provenance = state["step"], state["provenance"]
        if not isinstance(step, int) or not 0 <= step <= self.config.steps or not isinstance(provenance, dict):
            raise ValueError(f"step {step!r:.40} of {self.config.steps}")
        self.ghn.load_state_dict(state["ghn"])
        for name, weight in self.ghn.state_dict().items():
            if not torch.isfinite(weight).all():
                raise ValueError(f"weight {name!r} has NaN or infinite values")
        settings = self.optimizer.state_dict()["param_groups"]  # those of the configuration
        self.optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": settings})
        for weight, moments in self.optimizer.state.items():
            like = {"step": torch.empty(()), "exp_avg": weight, "exp_avg_sq": weight}
            if moments.keys() != like.keys() or not all(_fits(moments[name], like[name]) for name in like):
                raise ValueError("moments of the optimiser do not fit its weights")
        self.scaler.load_state_dict(state["scaler"])
        self.ghn.provenance, self.step = provenance, step


def _fits(value: object, like: Tensor) -> bool:
    """Whether a value is a finite tensor that lies in memory as another does: kernels do not look."""
    if not isinstance(value, Tensor) or (value.shape, value.stride()) != (like.shape, like.stride()):
        return False
    return value.dtype == torch.float32 and bool(value.isfinite().all())
