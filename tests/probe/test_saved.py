"""Probes of every kind are read back as they were saved. Hostile ones: tests/faults/test_sealed_probe.py."""

import numpy as np
import pytest

from archrep.data.targets import TARGETS
from archrep.errors import ArchrepError
from archrep.probe import load_probe, save_probe
from archrep.probe.evaluation import Work
from archrep.probe.models import LARGEST_BOOSTED, PROBES, fit_probe
from archrep.probe.saved import FittedProbe, fit_final
from archrep.probe.transform import standard

COLUMNS = {"few columns": 2, "many columns": 40}


def check_saved(probe, encodings, folder):
    """Saved and read twice, it predicts the same."""
    (folder / "again").mkdir()
    save_probe(probe, folder)
    save_probe(load_probe(folder), folder / "again")
    loaded = load_probe(folder / "again")
    assert (loaded.predict(encodings) == probe.predict(encodings)).all()
    assert str(loaded.models) == str(probe.models)


def fitted(name, n, d, folds=2):
    """A probe of one member, and architectures to predict."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    y = x[:, : d // 2].sum(axis=1) + rng.normal(size=n)
    transform = standard(y)
    t = transform.forward(y)
    one = fit_probe(name, x, t, np.array_split(np.arange(n), folds), 3)
    probe = FittedProbe(
        TARGETS["accuracy"], [("x", name)], [one.model], transform, t - one.out_of_fold, np.arange(n), {}
    )
    return probe, {"x": rng.normal(size=(9, d))}


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("name", PROBES)
def test_every_kind_is_read_back(name, columns, tmp_path):
    check_saved(*fitted(name, 40, COLUMNS[columns]), tmp_path)


@pytest.mark.parametrize("choice", ["auto", "ensemble"])
def test_averages_are_read_back(choice, tmp_path):
    rng = np.random.default_rng(0)
    encodings = {name: rng.normal(size=(60, d)) for name, d in (("size", 2), ("op-counts", 40), ("nothing", 0))}
    y = encodings["size"].sum(axis=1) + encodings["op-counts"].sum(axis=1)
    work = Work(encodings, y, np.arange(60), choice, "normal-scores", 0)
    probe = fit_final(work, list(encodings), TARGETS["accuracy"], {"seed": 0})
    check_saved(probe, {name: x[:7] for name, x in encodings.items()}, tmp_path)


def test_the_mean_predictor_is_read_back(tmp_path):
    check_saved(*fitted("ridge", 40, 0), tmp_path)


def test_boosting_of_many_architectures_is_read_back(tmp_path):
    check_saved(*fitted("boosting", 2 * LARGEST_BOOSTED + 2, 4), tmp_path)


def test_errors_name_the_folder(tmp_path):
    probe, _ = fitted("ridge", 40, 2)
    probe.models[0][-1].coef_[:] = 1e300
    save_probe(probe, tmp_path)
    loaded = load_probe(tmp_path)
    with pytest.raises(ArchrepError, match=f"{tmp_path.name} was trained on 2 columns"):
        loaded.predict({"x": np.zeros((1, 3))})
    with pytest.raises(ArchrepError, match=f"{tmp_path.name} cannot predict"):
        loaded.predict({"x": np.full((1, 2), np.nan)})
    with pytest.raises(ArchrepError, match=f"{tmp_path.name} gives no finite number for 1 of 2"):
        loaded.predict({"x": np.array([[0.0, 0.0], [1e10, 1e10]])})
