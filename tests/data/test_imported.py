"""Published tables as labels: real files of every format, their traps, and what is said of a wrong request."""

import numpy as np
import pandas as pd
import pytest

from archrep.data.labels import read_labels
from archrep.errors import ArchrepError

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
BROKEN = "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_3x3~1|nor_conv_3x3~2|"
ACCURACY = {
    "index": [1, 7],
    "arch_str": [CELL, BROKEN],
    "cifar10_valid_12ep": [82.834, 9.712],
    "cifar10_test_12ep": [88.22, 10.0],
    "cifar10_test_200ep": [93.66, 10.0],
    "cifar10_valid_200ep": [90.39, 10.0],
    "cifar100_test_200ep": [70.2933, 1.0],
    "cifar100_valid_200ep": [70.16, 1.0],
}


def write(path, columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def read(tmp_path, columns, **request):
    return read_labels(write(tmp_path / "l.csv.gz", columns), **request)


def test_nasbench201_by_dataset_and_epochs(tmp_path):
    name = f"nasbench201:{CELL}"
    default = read(tmp_path, ACCURACY)
    assert default.table.loc[name, ["accuracy", "accuracy_val"]].tolist() == [93.66, 90.39]
    assert default.table.loc[name, "cifar10_valid_12ep"] == 82.834
    assert default.target("cifar10_valid_12ep").higher_is_better
    assert default.target("cifar10_valid_12ep").unit == "%"
    short = read(tmp_path, ACCURACY, epochs=12)
    assert short.table.loc[name, ["accuracy", "accuracy_val"]].tolist() == [88.22, 82.834]
    other = read(tmp_path, ACCURACY, dataset="cifar100")
    assert other.table.loc[name, ["accuracy", "accuracy_val"]].tolist() == [70.2933, 70.16]
    assert default.counted == {}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"dataset": "cifar11"}, "Did you mean 'cifar10'? Available: cifar10, cifar100"),
        ({"epochs": 50}, "after 50 epochs; the table has 12, 200"),
        ({"dataset": "cifar100", "epochs": 12}, "cifar100 after 12 epochs; the table has 200"),
    ],
)
def test_what_the_table_does_not_have(tmp_path, request_, message):
    with pytest.raises(ArchrepError) as error:
        read(tmp_path, ACCURACY, **request_)
    assert message in str(error.value)
    assert "l.csv.gz" in str(error.value)


def test_latencies_of_disconnected_cells_are_missing(tmp_path):
    columns = {"arch_str": [CELL, BROKEN], "gold_6226": [15.2, 0.9], "pixel3": [17.2, 0.003], "raspi4": [54.0, 1.0]}
    labels = read(tmp_path, columns)
    assert np.isnan(labels.table.loc[f"nasbench201:{BROKEN}", "pixel3"])
    assert labels.table.loc[f"nasbench201:{BROKEN}", "gold_6226"] == 0.9
    assert not labels.target("gold_6226").higher_is_better
    assert labels.counted == {"latencies below 1 ms (disconnected cells), read as missing": 1}


def test_zero_cost_proxies_of_one_dataset_joined_to_accuracies(tmp_path):
    columns = {
        "dataset": ["cifar10", "cifar10", "ImageNet16-120"],
        "arch_str": [CELL, BROKEN, CELL],
        "flops": [46.0, 8.0, 11.0],
        "params": [0.5, 0.1, 0.6],
        "val_accuracy": [90.39, 10.0, 40.0],
        "nwot": [360.0, -np.inf, 350.0],
        "jacov": [-40.0, -1e8, -30.0],
        "nwot_time_s": [0.5, np.nan, 0.4],
    }
    proxies = write(tmp_path / "z.csv", columns)
    labels = read_labels([write(tmp_path / "a.csv", ACCURACY), proxies])
    good, broken = labels.table.loc[f"nasbench201:{CELL}"], labels.table.loc[f"nasbench201:{BROKEN}"]
    assert (good["accuracy"], good["nwot"], good["params"], good["flops"]) == (93.66, 360.0, 5e5, 9.2e7)
    assert np.isnan(broken["nwot"])
    assert np.isnan(broken["jacov"])
    assert labels.counted == {"zero-cost proxies that could not be computed, read as missing": 2}
    imagenet = read_labels(proxies, dataset="imagenet16-120").table
    assert imagenet["accuracy_val"].to_dict() == {f"nasbench201:{CELL}": 40.0}


def test_nasbench101_names_units_and_isomorphic_cells(tmp_path):
    columns = {
        "hash": ["a", "a", "b", "c"],
        "n_vertices": [4, 4, 2, 4],
        "adj_upper": [110011, 110011, 1, 11011],  # numbers: leading zeros are lost
        "ops": ["01", "10", "", "01"],
        "val_acc_4ep": [0.3, 0.3, 0.1, 0.2],
        "val_acc_108ep": [0.94, 0.92, 0.5, 0.9],
        "trainable_parameters": [10, 10, 3, 5],
    }
    labels = read(tmp_path, columns)
    assert labels.table.index.tolist() == ["nasbench101:110011:01", "nasbench101:1:", "nasbench101:111:1"]
    first = labels.table.loc["nasbench101:110011:01"]
    assert first["accuracy_val"] == pytest.approx(93.0)
    assert first["seeds"] == 2
    assert first["val_acc_4ep"] == 0.3
    assert labels.table.loc["nasbench101:1:", "accuracy_val"] == 50.0
    assert "isomorphic cells, counted as the one that comes first" in labels.counted
    with pytest.raises(ArchrepError, match="Did you mean 'accuracy_val'"):  # the benchmark has no test accuracy
        labels.target("accuracy")
    assert read(tmp_path, columns, epochs=4).table["accuracy_val"].max() == pytest.approx(30.0)
    with pytest.raises(ArchrepError, match="the table has 4, 108"):
        read(tmp_path, columns, epochs=200)


def test_nasbench_macro(tmp_path):
    columns = {"arch": [2012100, 11111221], "mean_acc": [89.2, 92.3], "std": [0.2, 0.1], "flops": [47, 65]}
    labels = read(tmp_path, columns)
    assert labels.table["accuracy"].to_dict() == {"nasbench_macro:02012100": 89.2, "nasbench_macro:11111221": 92.3}
    assert labels.table["flops"].tolist() == [94, 130]


def test_timm_has_one_recipe_per_architecture(tmp_path):
    columns = {
        "arch": ["resnet50", "resnet50", "resnet50", "resnet26", "vit"],
        "tag": ["a1_in1k", "ra_in1k", "a1_in1k", "a1_in1k", "in21k"],
        "top1": [80.2, 79.0, 79.9, 75.0, 85.0],
        "top1_real": [85.0, 84.0, 83.0, 80.0, 89.0],
        "img_size": [288, 224, 224, 224, 224],
        "param_count": [25.5, 25.5, 25.5, 16.0, 86.0],
    }
    labels = read(tmp_path, columns)
    assert labels.table["accuracy"].to_dict() == {"timm:resnet50": 79.9, "timm:resnet26": 75.0, "timm:vit": 85.0}
    assert labels.table.loc["timm:resnet50", ["tag", "params"]].tolist() == ["a1_in1k", 25_500_000]
    assert sum(labels.counted.values()) == 2
    one = read(tmp_path, columns, recipe="ra*_in1k", dataset="real")
    assert one.table["accuracy"].to_dict() == {"timm:resnet50": 84.0}
    with pytest.raises(ArchrepError, match=r"Unknown recipe 'b'.*a pattern such as"):
        read(tmp_path, columns, recipe="b")


def test_timm_speed_is_time_per_image_and_run(tmp_path):
    columns = {
        "model": ["a", "a", "b.x", "a"],
        "run": ["gpu", "gpu", "gpu", "cpu"],
        "kind": "infer",
        "samples_per_sec": [1000.0, 250.0, 500.0, 10.0],
        "img_size": [224, 288, 224, 224],
        "gmacs": [1.0, 2.0, 3.0, 1.0],
        "macts": [4.0, 8.0, 5.0, 4.0],
        "param_count": [7.0, 7.0, 8.0, 7.0],
    }
    labels = read(tmp_path, columns)
    assert labels.table.loc["timm:a", ["gpu", "cpu", "flops"]].tolist() == [1.0, 100.0, 2e9]
    assert labels.table.loc["timm:b", "gpu"] == 2.0
    assert labels.target("cpu").unit == "ms per image"


def test_what_is_no_published_table(tmp_path):
    with pytest.raises(ArchrepError, match="chooses among the columns of published tables"):
        read(tmp_path, {"arch": ["x"], "accuracy": [1.0]}, dataset="cifar10")
    with pytest.raises(ArchrepError, match="index in the official files"):
        read(tmp_path, {"split": ["val"], "arch": [0], "test_acc": [90.0]})
    with pytest.raises(ArchrepError, match="not an architecture of NAS-Bench-201"):
        read(tmp_path, {**ACCURACY, "arch_str": [CELL, "|x~0|"]})
    with pytest.raises(ArchrepError, match="no published table that archrep knows"):
        read(tmp_path, {"x": [1]})


@pytest.mark.shared
def test_shared_tables(shared):
    data = shared / "data"
    folder = data / "nasbench201"
    labels = read_labels([folder / f"{n}.csv.gz" for n in ("accuracy", "latency_ms", "zero_cost_proxies")])
    table = labels.table
    assert len(table) == 9372
    assert table["accuracy"].notna().all()
    assert table["nwot"].notna().sum() == 652 - 225
    assert table.loc[table["nwot"].notna(), "val_accuracy"].equals(table.loc[table["nwot"].notna(), "accuracy_val"])
    assert table["pixel3"].isna().sum() == 283
    assert len(read_labels(data / "nasbench_macro" / "accuracy.csv.gz").table) == 6561
    assert len(read_labels(data / "timm" / "imagenet_accuracy.csv.gz").table) == 617
    cells = read_labels(data / "nasbench101" / "accuracy.csv.gz")
    assert len(cells.table) == 14_937
    assert cells.counted == {}
    assert 90 < cells.table["accuracy_val"].median() < 93
