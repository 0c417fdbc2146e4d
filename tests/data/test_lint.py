"""Checks of label tables: each finds its mistake in a made table, and what is known to be wrong with published ones."""

from itertools import islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from archrep.data.lint import Checked, check_labels, read_checked
from archrep.data.tables import write_table
from archrep.errors import ArchrepError
from archrep.probe.groups import NORMAL_FORMS
from archrep.space.specs import architectures

RNG = np.random.default_rng(0)
N = 40
TWINS = ["|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"]  # what edges lead to is not used …
TWINS += ["|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"]  # … and here is not there
CLASSES = {NORMAL_FORMS["nasbench201"](a): a.id for a in islice(architectures("nasbench201:all"), 3000, 3400)}
CELLS = [spec for name, spec in CLASSES.items() if name != "x"]  # of different classes, and not of the twins'


def clean(**columns):
    """A table without mistakes, with other columns instead of its own."""
    table = {
        "arch": [f"deepnets-small:train:{i}" for i in range(N)],
        "accuracy": RNG.uniform(40, 60, N).round(3),
        "accuracy_val": RNG.uniform(40, 60, N).round(3),
        "latency_ms": RNG.uniform(5, 50, N),
        "params": RNG.integers(10_000, 900_000, N),
        "trainability": RNG.uniform(0.1, 1, N),
    }
    return pd.DataFrame(table | columns)


def found(table, columns=None):
    """(level, check, columns) of all findings."""
    return [(f.level, f.check, f.columns) for f in check_labels(Checked(table, columns or {}, NORMAL_FORMS))]


def test_nothing_is_found_where_nothing_is_wrong():
    assert found(clean()) == []


@pytest.mark.parametrize(
    ("column", "values", "level"),
    [
        ("accuracy", np.append(RNG.uniform(40, 60, N - 1), 101.0), "error"),
        ("accuracy", RNG.uniform(0.4, 0.6, N), "error"),
        ("robustness", np.append(RNG.uniform(40, 60, N - 1), -1.0), "error"),
        ("cifar10_test_200ep", np.append(RNG.uniform(40, 60, N - 1), 940.0), "error"),
        ("latency_ms", np.append(RNG.uniform(5, 50, N - 1), 0.0), "error"),
        ("latency_ms", np.append(RNG.uniform(5, 50, N - 1), np.inf), "error"),
        ("params", RNG.uniform(0.1, 9, N), "warning"),
        ("trainability", RNG.uniform(1, 50, N), "error"),
        ("jacov", np.append(RNG.uniform(-9, 9, N - 1), 1e8), "warning"),
    ],
)
def test_values_that_cannot_be(column, values, level):
    assert (level, "out of range", (column,)) in found(clean(**{column: values}))


def test_fractions_are_fine_where_the_metadata_says_so():
    table = clean(val_acc_12ep=RNG.uniform(0.4, 0.6, N))
    assert found(table, {"val_acc_12ep": {"unit": "fraction"}}) == []


def test_early_epochs_as_final_ones():
    early, final = RNG.uniform(60, 80, N), RNG.uniform(80, 95, N)
    columns = {"cifar10_test_12ep": early, "cifar10_test_200ep": final}
    assert found(clean(accuracy=final, **columns), {"accuracy": {"source": "cifar10_test_200ep"}}) == []
    assert ("error", "early as final", ("accuracy", "cifar10_test_12ep")) in found(clean(accuracy=early, **columns))
    told = {"accuracy": {"epochs": 12, "source": "cifar10_test_12ep"}}
    assert ("warning", "early as final", ("accuracy", "cifar10_test_12ep")) in found(
        clean(accuracy=early, **columns), told
    )
    fractions = clean(accuracy=early, val_acc_12ep=early / 100)
    assert ("error", "valid/test confusion", ("accuracy", "val_acc_12ep")) in found(fractions)


def test_valid_and_test_mixed_up():
    valid, test = RNG.uniform(70, 90, N), RNG.uniform(70, 90, N)
    columns = {"cifar10_valid_200ep": valid, "cifar10_test_200ep": test}
    wrong = found(clean(accuracy=valid, accuracy_val=test, **columns))
    assert ("error", "valid/test confusion", ("accuracy", "cifar10_valid_200ep")) in wrong
    assert ("error", "valid/test confusion", ("accuracy_val", "cifar10_test_200ep")) in wrong
    assert ("error", "valid/test confusion", ("accuracy_val", "accuracy")) in found(
        clean(accuracy=test, accuracy_val=test)
    )
    assert ("error", "valid/test confusion", ("accuracy",)) in found(clean(), {"accuracy": {"split": "valid"}})
    assert found(clean(), {"accuracy": {"split": "val", "dataset": "imagenet"}}) == []  # whose test labels nobody has
    pair = found(clean(cifar100_valid_200ep=test, cifar100_test_200ep=test))
    assert ("error", "valid/test confusion", ("cifar100_valid_200ep", "cifar100_test_200ep")) in pair


def test_copied_and_constant_columns():
    flops = RNG.integers(10**6, 10**7, N)
    wrong = found(clean(flops=flops, macs=flops, synflow=1.0))
    assert ("warning", "copied column", ("flops", "macs")) in wrong
    assert ("warning", "constant", ("synflow",)) in wrong
    assert found(clean(flops=flops, macs=flops), {"flops": {"source": "macs"}}) == []


def test_repeated_and_mixed_rows():
    table = clean(seed=0, protocol="quick")
    same, other = table.iloc[[3]], table.iloc[[5]].assign(accuracy=1.0)
    assert ("warning", "repeated architecture", ("arch", "protocol", "seed")) in found(pd.concat([table, same]))
    assert ("error", "repeated architecture", ("arch", "protocol", "seed")) in found(pd.concat([table, other]))
    assert found(pd.concat([table, other.assign(seed=1, accuracy=50.0)])) == []
    assert ("error", "mixed rows", ("protocol",)) in found(pd.concat([table, same.assign(protocol="paper", seed=1)]))


def test_architectures_that_do_not_exist_or_have_another_name():
    names = clean()["arch"].tolist()
    wrong = found(clean(arch=[*names[:-2], "deepnets-small:tset:1", "nasbench201:|none~0|"]))
    assert ("error", "unknown architecture", ("arch",)) in wrong
    assert ("error", "unknown architecture", ("arch",)) in found(clean(arch=[*names[:-1], "deepnets-small:test:0-3"]))


def test_duplicates_of_one_functional_class():
    archs = ["nasbench201:" + t for t in TWINS] + CELLS[: N - 2]
    accuracy = RNG.uniform(88, 94, N)
    accuracy[1] = accuracy[0] + 0.5
    table = clean(arch=archs, accuracy=accuracy).drop(columns="accuracy_val")
    assert NORMAL_FORMS["nasbench201"](next(architectures(archs[0]))) == "x"
    assert ("note", "duplicates", ("arch",)) in found(table)
    assert not any(check == "duplicates with different values" for _, check, _ in found(table))
    accuracy[1] = accuracy[0] - 20
    wrong = found(clean(arch=archs, accuracy=accuracy).drop(columns="accuracy_val"))
    assert ("warning", "duplicates with different values", ("accuracy",)) in wrong


def test_rows_of_other_splits_that_copy_test_rows():
    archs = [f"deepnets:test:{i}" for i in range(30)] + [f"deepnets:wide:{i}" for i in range(10)]
    values = RNG.uniform(80, 95, N).round(2)
    table = clean(arch=archs, accuracy=values, accuracy_val=RNG.uniform(80, 95, N).round(2))
    assert found(table) == []
    table.loc[30:, "accuracy_val"] = table.loc[:9, "accuracy_val"].to_numpy()
    assert ("error", "copied rows", ("accuracy_val",)) in found(table)
    table.loc[30:, "accuracy_val"] = table.loc[30:, "accuracy"]
    assert ("error", "copied rows", ("accuracy_val", "accuracy")) in found(table)


@pytest.mark.shared
def test_what_is_known_to_be_wrong_with_published_tables(shared):
    def of(name):
        return found_in(shared / "data" / name)

    copied = {
        c for level, check, c in of("reference_results/deepnets1m_cifar10_extended.csv.gz") if check == "copied rows"
    }
    assert copied == {("val_acc",), ("val_acc_noise",), ("test_acc_noise",)}
    assert not any(check == "copied rows" for _, check, _ in of("reference_results/deepnets1m_results.csv"))
    checks = {(level, check) for level, check, _ in of("nasbench_macro/accuracy.csv.gz")}
    assert not any(level == "error" for level, _ in checks)


def found_in(path):
    return [(f.level, f.check, f.columns) for f in check_labels(read_checked(path, NORMAL_FORMS))]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("column", "check"),
    [
        ("cifar10_test_200ep", None),
        ("cifar10_test_12ep", "early as final"),
        ("cifar10_valid_12ep", "early as final"),
        ("cifar10_valid_200ep", "valid/test confusion"),
    ],
)
def test_a_benchmarks_wrong_column_is_recognised_by_its_values(shared, column, check):
    """All that is left of the benchmark's table is a column called accuracy."""
    source = pd.read_csv(shared / "data" / "nasbench201" / "accuracy.csv.gz")
    for seed in range(20):
        rows = source.sample(100, random_state=seed)
        table = pd.DataFrame({"arch": "nasbench201:" + rows["arch_str"], "accuracy": rows[column]})
        warned = {c for level, c, _ in found(table) if level == "warning" and not c.startswith("duplicates")}
        assert warned == ({check} if check else set())


def test_tables_that_cannot_be_read(tmp_path):
    with pytest.raises(ArchrepError, match="no such label table"):
        read_checked(tmp_path / "none.parquet")
    (tmp_path / "empty.csv").write_text("arch,accuracy\n")
    with pytest.raises(ArchrepError, match="the table is empty"):
        read_checked(tmp_path / "empty.csv")
    write_table(
        pa.table({"arch": ["a:b"], "accuracy": [0.5]}),
        {"columns": {"accuracy": {"unit": "%"}}},
        tmp_path / "l.parquet",
        False,
    )
    assert read_checked(tmp_path / "l.parquet").columns == {"accuracy": {"unit": "%"}}
