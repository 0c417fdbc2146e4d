"""The nn.Module of a DeepNets network: runs its plan block by block.

Module names follow the released networks (`cells.0._ops.1.op.2.weight`), so that parameters can be
compared by name. Blocks: DARTS (arXiv:1806.09055), squeeze-and-excitation (arXiv:1709.01507),
ViT (arXiv:2010.11929).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archrep.space.deepnets.attention import attention
from archrep.space.deepnets.config import DeepNetConfig
from archrep.space.deepnets.graph import Emitter
from archrep.space.deepnets.plan import HEADS, Step, make_plan


class DeepNet(nn.Module):
    """A DeepNets network: images (B, 3, 32, 32), or (B, 3, 224, 224) if `imagenet`, to logits (B, num_classes).

    `make_block` makes the module of a step, with norms or without; default: a new one.

    Raises:
        ArchrepError: if it is disconnected, or larger than that of any split.
    """

    def __init__(
        self,
        config: DeepNetConfig,
        num_classes: int = 10,
        imagenet: bool = False,
        make_block: Callable[[Step, bool], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.plan = make_plan(config, num_classes, imagenet)
        Emitter(self.plan).checked()
        for step in self.plan.steps:
            if step.name:
                _attach(self, step.name, (make_block or new_block)(step, self.plan.norm))

    def forward(self, images: Tensor) -> Tensor:
        """Runs the steps that the output depends on."""
        values = {0: images}
        last_use = {i: position for position in self.plan.live for i in self.plan.steps[position].inputs}
        for position in self.plan.live[1:]:
            step = self.plan.steps[position]
            inputs = [values[i] for i in step.inputs]
            run = self.get_submodule(step.name) if step.name else FUNCTIONS[step.kind]
            values[position] = run(*inputs)
            for i in step.inputs:
                if last_use[i] == position:
                    values.pop(i, None)
        return values[self.plan.live[-1]]


def new_block(step: Step, norm: bool) -> nn.Module:
    """The module of a step; of its fields, only kind, channels, kernel and stride matter."""
    return BLOCKS[step.kind](step, norm)


def _attach(root: nn.Module, path: str, module: nn.Module) -> None:
    *parents, leaf = path.split(".")
    for name in parents:
        if name not in root._modules:
            root.add_module(name, nn.ModuleDict())
        root = root.get_submodule(name)
    root.add_module(leaf, module)


def _norm(channels: int, norm: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm else nn.Identity()


def _conv(c_in: int, c_out: int, kernel: int | tuple[int, int], stride: int | tuple[int, int] = 1, **more) -> nn.Conv2d:
    k = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    more.setdefault("padding", (k[0] // 2, k[1] // 2))
    return nn.Conv2d(c_in, c_out, k, stride, bias=False, **more)


class Op(nn.Module):
    """Layers in a row, under the name `op`."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.op = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) → (B, c_out, H', W')."""
        return self.op(x)


def _relu_conv_bn(s: Step, norm: bool) -> nn.Module:
    return Op(nn.ReLU(), _conv(s.c_in, s.c_out, s.kernel, s.stride), _norm(s.c_out, norm))


def _conv2(s: Step, norm: bool) -> nn.Module:
    row = _conv(s.c_in, s.c_in, (1, s.kernel), (1, s.stride))
    column = _conv(s.c_in, s.c_out, (s.kernel, 1), (s.stride, 1))
    return Op(nn.ReLU(), row, column, _norm(s.c_out, norm))


def _sep_conv(s: Step, norm: bool) -> nn.Module:
    layers: list[nn.Module] = []
    for stride, c_out in ((s.stride, s.c_in), (1, s.c_out)):
        depthwise = _conv(s.c_in, s.c_in, s.kernel, stride, groups=s.c_in)
        layers += [nn.ReLU(), depthwise, _conv(s.c_in, c_out, 1), _norm(c_out, norm)]
    return Op(*layers)


def _dil_conv(s: Step, norm: bool) -> nn.Module:
    depthwise = _conv(s.c_in, s.c_in, s.kernel, s.stride, padding=s.kernel - 1, dilation=2, groups=s.c_in)
    return Op(nn.ReLU(), depthwise, _conv(s.c_in, s.c_out, 1), _norm(s.c_out, norm))


class FactorizedReduce(nn.Module):
    """Halves the resolution with two 1×1 convolutions, each on every second pixel, shifted by one."""

    def __init__(self, step: Step, norm: bool) -> None:
        super().__init__()
        self.conv_1 = _conv(step.c_in, step.c_out // 2, 1, step.stride)
        self.conv_2 = _conv(step.c_in, step.c_out // 2, 1, step.stride)
        self.bn = _norm(step.c_out, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) → (B, c_out, H/2, W/2)."""
        x = F.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


class PosEnc(nn.Module):
    """Learned position encoding, added."""

    def __init__(self, step: Step, norm: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, step.c_in, step.kernel, step.kernel))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), in and out."""
        return x + self.weight


class ChannelSE(nn.Module):
    """Squeeze-and-excitation with reduction 2 and a hard-swish gate."""

    def __init__(self, step: Step, norm: bool) -> None:
        super().__init__()
        self.stride = step.stride
        self.fc1 = nn.Linear(step.c_in, step.c_in // 2)
        self.fc2 = nn.Linear(step.c_in // 2, step.c_in)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H', W')."""
        gate = F.hardswish(self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3))))))  # (B, C)
        return (x * gate[:, :, None, None])[:, :, :: self.stride, :: self.stride]


class FeedForward(nn.Module):
    """The two-layer perceptron of a transformer block."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(c_in, c_out), nn.GELU(), nn.Identity(), nn.Linear(c_out, c_in), nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, C), in and out."""
        return self.net(x)


class Transformer(nn.Module):
    """Pre-norm transformer block over the pixels of a feature map."""

    def __init__(self, step: Step, norm: bool) -> None:
        super().__init__()
        inner = step.c_in // HEADS * HEADS
        self.to_qkv = nn.Linear(step.c_in, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, step.c_out))
        self.ln1 = nn.LayerNorm(step.c_in)
        self.ln2 = nn.LayerNorm(step.c_in)
        self.ff = FeedForward(step.c_in, step.c_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), in and out."""
        tokens = x.flatten(2).transpose(1, 2)  # (B, n, C)
        q, k, v = self.to_qkv(self.ln1(tokens)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 4, 1)  # (B, heads, d, n)
        attended = attention(q, k, v).flatten(1, 2).transpose(1, 2)  # (B, n, inner)
        tokens = tokens + self.to_out(attended)
        tokens = tokens + self.ff(self.ln2(tokens))
        return tokens.transpose(1, 2).reshape(x.shape)


def _stem(s: Step, norm: bool) -> nn.Module:
    pool = nn.MaxPool2d(3, 2, 1) if s.kind == "stem_pool" else nn.Identity()
    return nn.Sequential(_conv(s.c_in, s.c_out, s.kernel, s.stride), _norm(s.c_out, norm), pool)


def _stem0(s: Step, norm: bool) -> nn.Module:
    half = s.c_out // 2
    return nn.Sequential(
        _conv(s.c_in, half, s.kernel, s.stride),
        _norm(half, norm),
        nn.ReLU(),
        _conv(half, s.c_out, 3, s.stride),
        _norm(s.c_out, norm),
    )


def _stem1(s: Step, norm: bool) -> nn.Module:
    return nn.Sequential(nn.ReLU(), _conv(s.c_in, s.c_out, 3, s.stride), _norm(s.c_out, norm))


BLOCKS: dict[str, Callable[[Step, bool], nn.Module]] = {
    "patches": lambda s, _: _conv(s.c_in, s.c_out, s.kernel, s.stride, padding=int(s.kernel < 4)),
    "pos_enc": PosEnc,
    "stem": _stem,
    "stem_pool": _stem,
    "stem0": _stem0,
    "stem1": _stem1,
    "factorized_reduce": FactorizedReduce,
    "relu_conv_bn": _relu_conv_bn,
    "conv": _relu_conv_bn,
    "conv2": _conv2,
    "sep_conv": _sep_conv,
    "dil_conv": _dil_conv,
    "max_pool": lambda s, _: nn.MaxPool2d(s.kernel, s.stride, s.kernel // 2),
    "avg_pool": lambda s, _: nn.AvgPool2d(s.kernel, s.stride, s.kernel // 2, count_include_pad=False),
    "msa": Transformer,
    "cse": ChannelSE,
    "linear": lambda s, _: nn.Linear(s.c_in, s.c_out),
    "dropout": lambda s, _: nn.Dropout(0.5),
}

FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "subsample": lambda x: x[:, :, ::2, ::2],
    "sum": torch.add,
    "concat": lambda *xs: torch.cat(xs, dim=1),
    "zeros": torch.zeros_like,
    "glob_avg": lambda x: F.adaptive_avg_pool2d(x, 1),
    "flatten": lambda x: x.flatten(1),
    "relu": F.relu,
}
