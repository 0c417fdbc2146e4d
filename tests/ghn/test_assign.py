"""Networks filled with predicted parameters."""

import pytest
import torch
from torch import nn

from archrep import GHN, capture, predict_parameters
from archrep.errors import ArchrepError, CaptureError


class Partly(nn.Module):
    """Has a layer that it never uses, and a tied one."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 100, 3, padding=1)  # sizes that do not divide 64
        self.again = self.first
        self.unused = nn.Linear(5, 5)
        self.norm = nn.BatchNorm2d(100)
        self.last = nn.Linear(100, 10)

    def forward(self, x):
        return self.last(self.norm(self.first(x)).mean(dim=(2, 3)))


def test_fills_in_place_and_names_what_is_left(ghn):
    network = Partly()
    pointers = {name: p.data_ptr() for name, p in network.named_parameters()}
    before = {name: p.clone() for name, p in network.named_parameters()}
    kept = predict_parameters(network, ghn)
    assert kept == ("unused.weight", "unused.bias")
    predicted = ghn.predict(capture(network))
    for name, parameter in network.named_parameters():
        assert parameter.data_ptr() == pointers[name]
        assert parameter.requires_grad
        assert torch.equal(parameter, before[name] if name in kept else predicted[name])
    assert torch.isfinite(network(torch.randn(4, 3, 32, 32))).all()


def test_given_graph_other_dtype_and_mode(small, ghn):
    architecture = small[0]
    network = architecture.build().double().eval()
    predict_parameters(network, ghn, graph=architecture.graph)
    assert not network.training
    for name, value in ghn.predict(architecture.graph).items():
        assert torch.equal(network.get_parameter(name), value.double())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_captures_networks_of_any_precision(ghn, dtype):
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(7200, 10)).to(dtype)
    assert predict_parameters(network, ghn) == ()
    assert {p.dtype for p in network.parameters()} == {dtype}


def test_memory_stays_near_that_of_the_parameters(ghn):
    """Odd widths do not make the decoder compute much in vain: no tensor alive is far bigger than what is asked for."""
    network = nn.Sequential(*(nn.Conv2d(33, 33, 7) for _ in range(12)))
    graph = capture(network, (33, 99, 99))
    with torch.profiler.profile(profile_memory=True) as profile:
        ghn.predict(graph)
    used = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            used += event.nbytes()
            peak = max(peak, used)
    assert 4 * graph.num_params <= peak <= 3 * 4 * graph.num_params + 2**24


def test_other_input_shapes(ghn):
    network = nn.Sequential(nn.Conv2d(1, 8, 5), nn.Flatten(), nn.Linear(8 * 4 * 4, 3))
    assert predict_parameters(network, ghn, input_shape=(1, 8, 8)) == ()
    with pytest.raises(CaptureError, match=r"input_shape"):
        predict_parameters(network, ghn)


def test_refused(small, ghn):
    with pytest.raises(ArchrepError, match="another network"):
        predict_parameters(Partly(), ghn, graph=small[0].graph)
    with torch.device("meta"):
        network = Partly()
    with pytest.raises(ArchrepError, match="to_empty"):
        predict_parameters(network, ghn)


def test_tensors_of_every_rank(ghn):
    """Rank 0 to 5, also where the released tiling fails."""

    class Ranks(nn.Module):
        def __init__(self):
            super().__init__()
            self.volume = nn.Conv3d(3, 70, (1, 3, 3))
            self.signal = nn.Conv1d(70, 65, 12)
            self.gain = nn.Parameter(torch.ones(()))
            self.position = nn.Parameter(torch.zeros(1, 65, 19))

        def forward(self, x):
            x = self.volume(x[:, :, None]).flatten(2)[:, :, :30]
            return (self.signal(x) + self.position) * self.gain

    network = Ranks()
    assert predict_parameters(network, GHN.untrained(seed=1), input_shape=(3, 8, 8)) == ()
    assert all(torch.isfinite(p).all() for p in network.parameters())
