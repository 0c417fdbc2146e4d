"""Awkward modules: each captured with every parameter that it uses, or refused in one clear line."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from archrep import capture
from archrep.errors import ArchrepError, CaptureError


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(8, 3, 3, 3)), nn.Parameter(torch.randn(10, 8))])

    def forward(self, x):
        x = F.conv2d(x, self.weights[0].sub(self.weights[0].mean())).amax((2, 3))
        return x @ self.weights[1].t()


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x):
        y = self.a(x)
        y[:, :1] += self.b(x)[:, :1]
        y.relu_().mul_(2)
        out = torch.zeros_like(y)
        out[:, 1:] = y[:, 1:]
        return out


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Embedding(11, 6), nn.Linear(6, 11, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens):
        return self.out(self.embed(tokens))


class Attention(nn.Module):
    def __init__(self, **more):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **more)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


class Custom(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.b(Double.apply(self.a(x)))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn, self.head = kind(5, 4, num_layers=2, bidirectional=True, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class Dynamic(nn.Module):
    """Which branch runs depends on values."""

    def __init__(self):
        super().__init__()
        self.small, self.large = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x):
        return self.large(x) if x.abs().mean() > 10 else self.small(x)


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x):
        x = self.body(x)
        return {"a": self.a(x), "b": [self.b(x), x]}


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        with torch.no_grad():
            gate = self.a(x)
        return self.b(x) * gate.detach().sigmoid()


class Named(nn.Module):
    """Several named inputs of different kinds."""

    def __init__(self):
        super().__init__()
        self.words, self.pixels = nn.Embedding(9, 4), nn.Conv1d(2, 4, 3)

    def forward(self, *, ids, signal, scale=1.0):
        return self.words(ids).mean(1) * scale + self.pixels(signal).mean(2)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Parameter(torch.zeros(1, 1, 6)), nn.Parameter(torch.zeros(1, 5, 6))
        self.scale = nn.Parameter(torch.ones(6))
        self.block = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.position
        return self.block(x)[:, 0] * self.scale


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(4, 8)

    def forward(self, x):
        return F.silu(self.a(x)) * self.b(x)


class Dynamics(nn.Module):
    """A convolution whose kernel is computed from the input."""

    def __init__(self):
        super().__init__()
        self.make = nn.Linear(3, 3 * 3)

    def forward(self, x):
        return F.conv2d(x, self.make(x.mean((0, 2, 3))).view(3, 3, 1, 1))


class Normalised(nn.Module):
    """A gain and a bias with one value per position."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm([3, 8, 8])
        self.group, self.instance = nn.GroupNorm(3, 3), nn.InstanceNorm2d(3, affine=True)
        self.rms, self.act = nn.RMSNorm(8), nn.PReLU(3)

    def forward(self, x):
        return self.rms(self.act(self.instance(self.group(self.norm(x)))))


def reparametrised():
    return nn.Sequential(
        parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
        parametrizations.spectral_norm(nn.Conv2d(4, 4, 3)),
    )


def shared_twice():
    conv = nn.Conv2d(3, 3, 3, padding=1)
    return nn.Sequential(conv, nn.ReLU(), conv)


IMAGE, VECTOR, SEQUENCE = (3, 8, 8), (4,), (5, 5)
TOKENS = {"tokens": torch.zeros(2, 7, dtype=torch.int64)}
MODULES = {
    "functional weights": (Functional, IMAGE, None),
    "in-place": (InPlace, IMAGE, None),
    "tied": (Tied, None, TOKENS),
    "attention": (Attention, (5, 8), None),
    "attention, separate projections": (lambda: Attention(kdim=8, vdim=8, add_bias_kv=True), (5, 8), None),
    "autograd function": (Custom, VECTOR, None),
    "lstm": (lambda: Recurrent(nn.LSTM), SEQUENCE, None),
    "gru": (lambda: Recurrent(nn.GRU), SEQUENCE, None),
    "several outputs": (Several, VECTOR, None),
    "detached": (Detached, VECTOR, None),
    "named inputs": (Named, None, {"ids": torch.zeros(2, 3, dtype=torch.int64), "signal": torch.zeros(2, 2, 9)}),
    "tokens": (Tokens, (4, 6), None),
    "gated": (Gated, VECTOR, None),
    "dynamic convolution": (Dynamics, IMAGE, None),
    "norms": (Normalised, IMAGE, None),
    "reparametrised": (reparametrised, IMAGE, None),
    "used twice": (shared_twice, IMAGE, None),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2), nn.Conv2d(4, 2, 3, dilation=2)), IMAGE, None),
    "three dimensions": (lambda: nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4)), (3, 8, 8, 8), None),
    "transformer": (lambda: nn.TransformerDecoderLayer(6, 2, 12), None, [torch.zeros(4, 2, 6), torch.zeros(3, 2, 6)]),
}


@pytest.mark.parametrize("vocabulary", ["released", "extended"])
@pytest.mark.parametrize("name", list(MODULES))
def test_complete_and_clean(name, vocabulary):
    make, shape, examples = MODULES[name]
    network = make()
    before, modes = copy.deepcopy(network.state_dict()), [m.training for m in network.modules()]
    parameters = [id(p) for p in network.parameters()]
    graph = capture(network, shape or (), example_inputs=examples, vocabulary=vocabulary)

    assert graph.unused == ()
    owned = [n for names in graph.parameters for n in names]
    assert sorted(owned) == sorted(n for n, _ in network.named_parameters())
    for names, shapes in zip(graph.parameters, graph.parameter_shapes, strict=True):
        assert all(len(s) < 2 for s in shapes[1:]), names  # the others are main parameters of their own nodes
    sources, targets = graph.edge_index.tolist()
    assert all(u < v for u, v in zip(sources, targets, strict=True))
    assert set(range(len(graph.primitive))) - set(sources) == {len(graph.primitive) - 1}  # one output
    starts = [graph.primitives[i] for i in set(range(len(graph.primitive))) - set(targets)]
    assert starts.count("input") == 1
    assert set(starts) <= {"input", "pos_enc", "parameter"}

    assert parameters == [id(p) for p in network.parameters()]
    assert modes == [m.training for m in network.modules()]
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    with torch.no_grad():
        for p in network.parameters():
            p.add_(1)
    again = capture(network.eval(), shape or (), example_inputs=examples, vocabulary=vocabulary)
    assert again.hash() == graph.hash()


def test_shared_parameters_are_known_as_such():
    assert capture(Tied(), example_inputs=TOKENS).tied == {"out.weight": "embed.weight"}
    assert capture(shared_twice(), IMAGE).tied == {"2.weight": "0.weight", "2.bias": "0.bias"}
    assert capture(Gated(), VECTOR).tied == {}


def kinds(network, *args, **kwargs):
    return capture(network, *args, vocabulary="extended", **kwargs).primitives


def test_kinds_of_the_extended_vocabulary():
    assert kinds(Attention(), (5, 8)) == ["input", "linear", "bias", "msa", "linear", "bias"]
    assert kinds(Tied(), example_inputs=TOKENS) == ["input", "embedding", "linear"]
    assert kinds(Normalised(), IMAGE) == [
        *("input", "ln", "pos_enc", "sum", "group_norm", "instance_norm", "scale", "rms_norm")
    ]
    assert kinds(Gated(), VECTOR) == ["input", "linear", "bias", "linear", "bias", "gate"]
    assert kinds(MODULES["transposed"][0](), IMAGE) == ["input", "transposed_conv", "bias", "dense_dil_conv", "bias"]
    assert kinds(Recurrent(nn.GRU), SEQUENCE).count("rnn") == 8
    assert {"parameter", "pos_enc", "scale", "msa"} <= set(kinds(Tokens(), (4, 6)))
    grouped = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3, 1, 2, 2, 8))
    assert kinds(grouped, (4, 9, 9)) == ["input", "group_conv", "bias", "sep_conv", "bias", "dil_conv", "bias"]


def test_mapping_to_the_released_vocabulary_is_reported():
    graph = capture(Tokens(), (4, 6))
    assert graph.mapped == {"parameter": "pos_enc", "linear": "conv", "scale": "ln"}
    assert capture(nn.Conv2d(3, 3, 3)).mapped == {}


class Written(Attention):
    """Attention written out."""

    def forward(self, x):
        q, k, v = F.linear(x, self.attention.in_proj_weight, self.attention.in_proj_bias).chunk(3, dim=-1)
        weights = (q @ k.transpose(1, 2) / 8**0.5).softmax(dim=-1)
        return self.attention.out_proj(F.dropout(weights) @ v)


class Fused(Attention):
    def forward(self, x):
        q, k, v = F.linear(x, self.attention.in_proj_weight, self.attention.in_proj_bias).chunk(3, dim=-1)
        return self.attention.out_proj(F.scaled_dot_product_attention(q, k, v))


def test_attention_is_attention_however_it_is_written():
    hashes = {capture(make(), (5, 8)).hash() for make in (Attention, Written, Fused)}
    assert len(hashes) == 1


def test_control_flow_that_depends_on_values():
    graph = capture(Dynamic(), VECTOR)
    assert graph.param_names[1:] == ["small.weight", "small.bias"]
    assert graph.unused == ("large.weight", "large.bias")
    graph = capture(Dynamic(), example_inputs=torch.full((1, 4), 99.0))
    assert graph.param_names[1:] == ["large.weight", "large.bias"]


class Conditional(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda x: self.a(x), lambda x: self.b(x), (x,))


def test_what_is_refused():
    with pytest.raises(CaptureError, match=r"Conditional cannot run"):
        capture(Conditional(), VECTOR)
    with pytest.raises(CaptureError, match="lazily"):
        capture(nn.LazyLinear(3))
    with pytest.raises(CaptureError, match=r"test_awkward\.py:\d+ in forward"):
        capture(Tied(), example_inputs=[torch.zeros(2, 3)])  # floats are no tokens
    with pytest.raises(ArchrepError, match="Did you mean 'released'"):
        capture(Gated(), VECTOR, vocabulary="release")


class Caching(nn.Module):
    """Keeps what it computed first."""

    def __init__(self):
        super().__init__()
        self.register_buffer("lazy", None)
        self.grid, self.calls, self.seen = None, 0, []
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        if self.grid is None:
            self.grid = torch.ones(4, device=x.device)
        self.lazy = torch.ones(4, device=x.device)
        self.calls += 1
        self.seen.append(x)
        return self.layer(x * self.grid)


def test_what_the_forward_pass_keeps_is_forgotten():
    network = Caching()
    capture(network, VECTOR)
    assert network.grid is None
    assert network.lazy is None
    assert network.calls == 0
    assert network.seen == []
    assert network(torch.zeros(1, 4)).shape == (1, 2)


def test_memory_does_not_grow():
    import gc

    network = Tokens()
    capture(network, (4, 6))
    gc.collect()
    before = sum(isinstance(o, torch.Tensor) for o in gc.get_objects())
    for _ in range(20):
        capture(network, (4, 6))
    gc.collect()
    assert sum(isinstance(o, torch.Tensor) for o in gc.get_objects()) <= before
