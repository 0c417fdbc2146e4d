"""Transfer between devices: planted factors, the published latencies of NAS-Bench-201, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import archrep
from archrep.data.labels import read_labels
from archrep.errors import ArchrepError
from archrep.probe.cells import has_graph
from archrep.probe.transfer import device_of, devices_of, evaluate_transfer, learn_devices


@pytest.fixture
def latencies():
    """300 architectures on 12 devices: two factors, a level of each device, 3 % noise."""
    rng = np.random.default_rng(0)
    factors, loadings = rng.normal(size=(300, 2)), rng.uniform(0.1, 1, size=(2, 12))
    return np.exp(factors @ loadings + rng.normal(size=12) + 0.03 * rng.normal(size=(300, 12)))


def mean_of(result):
    return result.summary().iloc[-1]


def test_planted_factors_are_found_from_few_measurements(latencies):
    devices = learn_devices(latencies[:, 1:], train_size=6)
    predicted = devices.predict(range(6), latencies[:6, 0])
    assert spearmanr(predicted[6:], latencies[6:, 0]).statistic > 0.97
    assert np.median(np.abs(np.log(predicted / latencies[:, 0]))) < 0.15  # in ms, level and all
    scaled = devices.predict(range(6), 1000 * latencies[:6, 0])
    np.testing.assert_allclose(scaled, 1000 * predicted, rtol=1e-6)


def test_targets_that_can_be_negative_are_not_logarithmic(latencies):
    values = np.log(latencies)
    devices = learn_devices(values[:, 1:], train_size=6)
    assert not devices.logarithmic
    assert spearmanr(devices.predict(range(6), values[:6, 0])[6:], values[6:, 0]).statistic > 0.97


def test_the_new_device_is_never_known(latencies):
    """Devices without anything in common give a rank correlation about 0, though the target is among the columns."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame(np.exp(rng.normal(size=(400, 6))), columns=list("abcdef"))
    result = evaluate_transfer(table, ["a", "b"], known=list("abcdef"), resamplings=5)
    assert abs(mean_of(result)["spearman"]) < 0.15
    assert len(result.table) == 10


def test_other_batch_sizes_of_the_new_device_are_not_known_either():
    """`a_1` and `a_32` are the same numbers, and nothing else has to do with them."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame(np.exp(rng.normal(size=(400, 6))), columns=["a_1", *"bcdef"]).assign(a_32=lambda t: t["a_1"])
    assert abs(mean_of(evaluate_transfer(table, ["a_1"], known=list(table), resamplings=5))["spearman"]) < 0.15
    renamed = table.rename(columns={"a_32": "g"})
    assert mean_of(evaluate_transfer(renamed, ["a_1"], known=list(renamed), resamplings=5))["spearman"] > 0.5
    names = ["titan_rtx_256", "1080ti_1", "2080ti_16", "gold_6226", "silver_4114", "raspi4"]
    assert [device_of(name) for name in names] == ["titan_rtx", "1080ti", "2080ti", *names[3:]]


def test_means_and_intervals_by_hand(latencies):
    table = pd.DataFrame(latencies, columns=[f"d{i}" for i in range(12)])
    result = evaluate_transfer(table, ["d0", "d1"], known=list(table), resamplings=3)
    rows = result.summary().set_index("device")
    by_device = result.table.groupby("device")["spearman"]
    assert rows.loc["d0", "spearman"] == pytest.approx(by_device.get_group("d0").mean())
    assert rows.loc["mean", "spearman"] == pytest.approx(result.table["spearman"].mean())
    of_draws = result.table.groupby("resampling")["spearman"].mean()
    half = 4.3027 * of_draws.std() / np.sqrt(3)  # Student's, two degrees of freedom
    assert rows.loc["mean", "high"] - rows.loc["mean", "spearman"] == pytest.approx(half, rel=1e-3)


def test_what_is_left_out_and_refused(latencies):
    table = pd.DataFrame(latencies, columns=[f"d{i}" for i in range(12)])
    table.iloc[3, 4] = np.nan
    connected = np.arange(300) > 1
    result = evaluate_transfer(table, list(table)[:2], known=list(table), resamplings=2, connected=connected)
    assert result.n == 297
    assert list(result.excluded.values()) == [2, 1]
    with pytest.raises(ArchrepError, match="no column gpu"):
        evaluate_transfer(table, ["gpu"], known=list(table))
    with pytest.raises(ArchrepError, match="at least 3 known devices"):
        evaluate_transfer(table, ["d0"], known=["d0", "d1"])
    with pytest.raises(ArchrepError, match="only positive numbers"):
        learn_devices(latencies).predict([0], [-1.0])
    with pytest.raises(ArchrepError, match="every architecture measured"):
        learn_devices(table.to_numpy())


@pytest.mark.shared
def test_ten_cells_of_nasbench201(shared):
    """HELP reaches .932 with 10 cells; here devices of another kind are taken for new."""
    labels = read_labels(shared / "data/nasbench201/latency_ms.csv.gz")
    devices = devices_of(labels.header["columns"])
    assert len(devices) == 27
    cells = [next(iter(archrep.architectures(name))) for name in labels.table.index]
    connected = np.array([has_graph(cell) for cell in cells])
    new = ["eyeriss", "pixel3", "gold_6226", "samsung_s7", "titan_rtx_256"]
    result = evaluate_transfer(labels.table, new, devices, resamplings=5, connected=connected)
    assert result.excluded == {"cells whose output does not depend on their input": 341}
    assert mean_of(result)["spearman"] > 0.93
