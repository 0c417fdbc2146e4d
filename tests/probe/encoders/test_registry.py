"""The registry of encoders: specs, concatenation, errors."""

from dataclasses import replace

import numpy as np
import pytest

from archrep.errors import ArchrepError
from archrep.probe import encoders
from archrep.probe.encoders import ENCODERS, Context, encode, needs_graph, parse


def test_concatenation(small):
    both = encode("op-counts+size", small)
    assert both.dtype == np.float64
    np.testing.assert_array_equal(both, np.concatenate([encode("op-counts", small), encode("size", small)], axis=1))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("op-count", "Did you mean 'op-counts'"),
        ("size+", "Unknown encoder"),
        ("size:3", "takes no argument"),
    ],
)
def test_errors(spec, message):
    with pytest.raises(ArchrepError, match=message):
        parse(spec)


def test_what_an_encoder_lacks_and_gives(small, monkeypatch):
    with pytest.raises(ArchrepError, match="needs a GHN"):
        encode("ghn", small)
    with pytest.raises(ArchrepError, match="no architectures"):
        encode("size", [])
    broken = replace(ENCODERS["size"], encode=lambda a, c, s: np.full((len(a), 1), np.nan), needs_graph=False)
    monkeypatch.setitem(encoders.ENCODERS, "size", broken)
    with pytest.raises(ArchrepError, match="not finite for 12, such as deepnets-small:test:0"):
        encode("size", small)
    assert needs_graph("size+op-counts")
    assert not needs_graph("size")


def test_size_reads_the_table_where_it_has_it(small):
    import pandas as pd

    ids = [a.id for a in small]
    labels = pd.DataFrame({"params": 1e3, "flops": 1e6}, index=ids)
    assert (encode("size", small, Context(labels=labels)) == [3, 6]).all()
    labels.iloc[3, 1] = np.nan
    np.testing.assert_array_equal(encode("size", small, Context(labels=labels)), encode("size", small))
