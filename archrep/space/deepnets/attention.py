"""Scaled dot-product attention of many narrow heads on a CPU.

DeepNets networks have 8 heads of C / 8 channels each: 1 to 16. At such widths torch's attention takes most of a
network's time on a CPU; the kernel here takes a third of that. A row of the attention matrix stays in the cache
(arXiv:2205.14135, Algorithm 1 with one block), and the backward pass computes it anew.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from archrep.compiled import COMPILES, ONE, REORDER, compiled, exponential, in_threads

WIDEST = 8  # channels of a head up to which torch is slower


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax(q kᵀ / √d) v for queries, keys and values (B, heads, d, n), position last; so is the result.

    Raises:
        RuntimeError: torch's, for shapes that differ.
    """
    if COMPILES and q.device.type == "cpu" and q.dtype == torch.float32 and q.shape[2] <= WIDEST:
        return _Attention.apply(q, k, v)
    q, k, v = (x.transpose(2, 3) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(2, 3)


class _Attention(torch.autograd.Function):
    """The kernel, over the (B · heads, d, n) arrays, in as many threads as torch uses."""

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        given = [_array(x) for x in (q, k, v)]
        out, size = np.empty_like(given[0]), np.empty(given[0].shape[::2], np.float32)
        _in_parts(_forward, *given, out, size)
        ctx.arrays = (*given, out, size)
        return torch.from_numpy(out).view(q.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, ...]:
        of = [np.zeros_like(ctx.arrays[0]) for _ in range(3)]
        _in_parts(_backward, *ctx.arrays, _array(grad), *of)
        return tuple(torch.from_numpy(x).view(grad.shape) for x in of)


def _array(x: Tensor) -> np.ndarray:
    return x.detach().flatten(0, 1).contiguous().numpy()


def _in_parts(kernel, *arrays: np.ndarray) -> None:
    parts = list(zip(*(np.array_split(array, torch.get_num_threads()) for array in arrays), strict=True))
    in_threads(lambda i: kernel(*parts[i]), len(parts))


@compiled(REORDER)
def _forward(q, k, v, out, size):
    """Fills `out` (G, d, n), and `size` (G, n): the logarithm of the sum of a row's exponentials."""
    heads, d, n = q.shape
    scale = ONE / np.sqrt(np.float32(d))
    row, powers = np.empty(n, np.float32), np.empty(n, np.int32)
    for g in range(heads):
        for i in range(n):
            row[:] = np.float32(0)
            for c in range(d):
                query = q[g, c, i] * scale
                for j in range(n):
                    row[j] += query * k[g, c, j]
            largest = row[0]
            for j in range(n):
                largest = max(largest, row[j])
            for j in range(n):
                row[j] -= largest
            exponential(row, powers)
            total = np.float32(0)
            for j in range(n):
                total += row[j]
            for c in range(d):
                value = np.float32(0)
                for j in range(n):
                    value += row[j] * v[g, c, j]
                out[g, c, i] = value / total
            size[g, i] = largest + np.log(total)


@compiled(REORDER)
def _backward(q, k, v, out, size, grad, of_q, of_k, of_v):
    """Adds to the gradients `of_q`, `of_k`, `of_v` (G, d, n) what follows from that of `out`."""
    heads, d, n = q.shape
    scale = ONE / np.sqrt(np.float32(d))
    row, of_row, powers = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.int32)
    for g in range(heads):
        for i in range(n):
            row[:] = -size[g, i]
            for c in range(d):
                query = q[g, c, i] * scale
                for j in range(n):
                    row[j] += query * k[g, c, j]
            exponential(row, powers)  # the row of the attention matrix
            mean = np.float32(0)
            for c in range(d):
                mean += grad[g, c, i] * out[g, c, i]
            of_row[:] = -mean
            for c in range(d):
                of_value = grad[g, c, i]
                for j in range(n):
                    of_row[j] += of_value * v[g, c, j]
                    of_v[g, c, j] += of_value * row[j]
            for j in range(n):
                of_row[j] *= row[j] * scale
            for c in range(d):
                query, of_query = q[g, c, i], np.float32(0)
                for j in range(n):
                    of_query += of_row[j] * k[g, c, j]
                    of_k[g, c, j] += of_row[j] * query
                of_q[g, c, i] += of_query
