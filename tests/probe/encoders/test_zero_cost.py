"""Zero-cost proxies: closed forms, and the ranks of a published table."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kendalltau
from torch import nn

import archrep
from archrep.data import load_images
from archrep.errors import ArchrepError
from archrep.probe.encoders import Context, encode
from archrep.probe.encoders.zero_cost import BATCH, grad_norm, naswot, snip, synflow


def test_closed_forms_of_a_linear_network():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(8, 3, 2, 2, generator=generator), torch.arange(8) % 4
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    weight = network[1].weight.detach()
    error = torch.softmax(network(x), 1).detach() - torch.nn.functional.one_hot(y, 4)
    gradient = error.t() @ x.flatten(1) / 8
    assert grad_norm(network, x, y) == pytest.approx(np.log10(gradient.norm().item()), rel=1e-4)
    assert snip(network, x, y) == pytest.approx(np.log10((weight * gradient).abs().sum().item()), rel=1e-4)
    assert synflow(network, x, y) == pytest.approx(np.log10(weight.abs().sum().item()), rel=1e-4)


def test_naswot_counts_equal_states():
    x = torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0]])
    network = nn.ReLU()
    assert naswot(network, x, torch.zeros(2)) == pytest.approx(np.log(3 * 3 - 2 * 2))
    assert naswot(network, x[[0, 0]], torch.zeros(2)) == -1e4  # two images that it cannot tell apart


def test_norms_are_left_out_of_synflow():
    x, y = torch.randn(4, 3, 5, 5), torch.zeros(4, dtype=torch.long)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(36, 2))
    normed = nn.Sequential(plain[0], nn.BatchNorm2d(4), *plain[1:])
    assert synflow(plain, x, y) == synflow(normed, x, y)


def test_encoder_is_seeded_and_leaves_the_random_state(digits):
    chosen = list(archrep.architectures("deepnets-small:test:0-1"))
    before = torch.get_rng_state()
    got = encode("zero-cost", chosen, Context(images=digits))
    assert got.shape == (2, 7)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(got, encode("zero-cost", chosen, Context(images=digits)))
    np.testing.assert_array_equal(got[:, [4, 0]], encode("zero-cost:naswot,synflow", chosen, Context(images=digits)))
    with pytest.raises(ArchrepError, match="--data"):
        encode("zero-cost", chosen, Context())
    with pytest.raises(ArchrepError, match="Unknown zero-cost proxy"):
        encode("zero-cost:fisher", chosen, Context(images=digits))


@pytest.mark.slow
@pytest.mark.shared
def test_ranks_are_those_of_the_table(shared, cifar10_folder):
    """Another initialisation and batch give other values, in nearly the same order."""
    table = pd.read_csv(shared / "data/nasbench201/zero_cost_proxies.csv.gz")
    table = table[(table.dataset == "cifar10") & np.isfinite(table.nwot) & (table.jacov > -1e6)]
    rows = table.sample(24, random_state=0)
    cells = [next(iter(archrep.architectures(f"nasbench201:{arch}"))) for arch in rows.arch_str]
    names = {"synflow": "synflow", "snip": "snip", "grad_norm": "grad_norm", "jacob_cov": "jacov", "naswot": "nwot"}
    assert BATCH == 32
    values = encode("zero-cost:" + ",".join(names), cells, Context(images=load_images(str(cifar10_folder))))
    taus = {
        ours: kendalltau(x, rows[theirs]).statistic for x, (ours, theirs) in zip(values.T, names.items(), strict=True)
    }
    assert taus["synflow"] > 0.9
    assert taus["naswot"] > 0.8
    assert min(taus.values()) > 0.6
