"""Attention of narrow heads: equal to torch's, with gradients, in any number of threads."""

import pytest
import torch
import torch.nn.functional as F

from archrep.space.deepnets import attention as module
from archrep.space.deepnets.attention import WIDEST, attention


def tensors(*shape, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    return [(scale * torch.randn(shape, generator=generator)).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize(
    "shape", [(2, 8, 1, 121), (3, 8, 4, 9), (1, 8, WIDEST, 64), (2, 2, WIDEST + 1, 5), (2, 8, 2, 1)]
)
@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
def test_equal_to_torch(shape, scale):
    given = tensors(*shape, scale=scale)
    exact = [x.detach().double().requires_grad_() for x in given]
    grad = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    out = attention(*given)
    expected = F.scaled_dot_product_attention(*(x.transpose(2, 3) for x in exact)).transpose(2, 3)
    torch.testing.assert_close(out, expected.float(), rtol=1e-4, atol=1e-4 * scale)
    out.backward(grad)
    expected.backward(grad.double())
    for one, other in zip(given, exact, strict=True):
        torch.testing.assert_close(one.grad, other.grad.float(), rtol=1e-3, atol=2e-4 * max(scale, 1.0))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_is_not_finite_stays_so(value, which):
    """No exception, as in torch: who trains the network finds it in the loss."""
    given = [x.detach().clone() for x in tensors(2, 8, 2, 6)]
    given[which][0, 0, 0, 0] = value
    given[(which + 1) % 3][0, 0, 0, 0] = value
    given = [x.requires_grad_() for x in given]
    out = attention(*given)
    out.sum().backward()
    assert not out[0, 0].isfinite().all()
    assert out[1].isfinite().all()


def test_threads_change_nothing():
    given = tensors(3, 8, 3, 20)
    alone = attention(*given)
    torch.set_num_threads(2)
    try:
        assert torch.equal(attention(*given), alone)
    finally:
        torch.set_num_threads(1)


def test_who_computes_what(monkeypatch):
    """The kernel takes narrow heads of float32 on a CPU; the rest, such as shapes for a capture, goes to torch."""
    monkeypatch.setattr(module, "_Attention", None)
    for given in (tensors(1, 8, WIDEST + 1, 4), [x.to("meta") for x in tensors(1, 8, 2, 4)]):
        assert attention(*given).shape == given[0].shape
    with pytest.raises(AttributeError):
        attention(*tensors(1, 8, 2, 4))
