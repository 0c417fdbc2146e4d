"""Columns of the label table as an encoding."""

import numpy as np
import pandas as pd
import pytest

from archrep.errors import ArchrepError
from archrep.probe.encoders import Context, encode


@pytest.fixture
def labels(small):
    return pd.DataFrame(
        {"early": np.arange(12.0), "nwot": [np.nan, *range(11)], "note": "x", "seeds": 1}, index=[a.id for a in small]
    )


def test_columns_in_the_order_asked_for(small, labels):
    got = encode("columns:nwot,early", small[:0:-1], Context(labels=labels))
    assert got[0].tolist() == [10, 11]
    assert got.shape == (11, 2)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("columns:nwot", "no nwot of 1 of 12 architectures, such as deepnets-small:test:0"),
        ("columns:erly", "Did you mean 'early'"),
        ("columns:note", "Unknown numeric column"),
        ("columns", "Name a column"),
    ],
)
def test_what_the_table_lacks(small, labels, spec, message):
    with pytest.raises(ArchrepError) as error:
        encode(spec, small, Context(labels=labels))
    assert message in str(error.value)
    with pytest.raises(ArchrepError, match="--labels"):
        encode(spec, small, Context())
