"""Training curves of label tables."""

import pyarrow as pa
import pytest

from archrep.data.curves import read_curves
from archrep.data.labels import write_labels
from archrep.data.tables import write_table
from archrep.errors import ArchrepError


def test_curves_are_averaged_over_seeds_and_cut_ones_left_out(tmp_path):
    rows = [("a", 0, [10.0, 20.0]), ("a", 1, [20.0, 40.0]), ("b", 0, [11.0, 12.0]), ("c", 0, [10.0])]
    path = tmp_path / "labels.parquet"
    write_labels(path, [{"arch": a, "seed": s, "curve": c} for a, s, c in rows], {})
    curves = read_curves(path)
    assert curves.columns.tolist() == [0.5, 1.0]
    assert curves.loc["a"].tolist() == [15, 30]
    assert list(curves.index) == ["a", "b"]


@pytest.mark.parametrize("curve", [[], [[1.0]], [None]])
def test_tables_without_curves_are_refused(tmp_path, curve):
    path = tmp_path / "labels.parquet"
    names = pa.array(["a"] * len(curve), pa.string())
    write_table(pa.table({"arch": names, "curve": pa.array(curve, pa.list_(pa.float64()))}), {}, path, False)
    with pytest.raises(ArchrepError, match="no two points"):
        read_curves(path)
    write_table(pa.table({"arch": ["a"]}), {}, path, True)
    with pytest.raises(ArchrepError, match="no column curve"):
        read_curves(path)
