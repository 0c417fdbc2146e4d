"""Published results as label tables whose metadata says what every column is."""

import pickle
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import torch

from archrep.data.adapters import adapt
from archrep.data.imported import Request
from archrep.errors import ArchrepError

ARCH = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
SPEC = "nasbench201:" + ARCH


def write_gz(table, path):
    table.to_csv(path, index=False)
    return path


def test_nasbench201_table(tmp_path):
    table = pd.DataFrame(
        {"index": [1], "arch_str": [ARCH], "cifar10_valid_12ep": [82.8], "cifar10_test_12ep": [88.2]}
        | {"cifar10_test_200ep": [93.66], "cifar10_valid_200ep": [90.39], "cifar100_test_200ep": [70.3]}
    )
    path = write_gz(table, tmp_path / "a.csv")
    adapted = adapt("nasbench201", path)
    assert adapted.table.iloc[0][["arch", "accuracy", "accuracy_val"]].tolist() == [SPEC, 93.66, 90.39]
    assert adapted.columns["accuracy"] == {
        "unit": "%",
        "direction": "higher",
        "meaning": "top-1 on the test images after training",
        "dataset": "cifar10",
        "split": "test",
        "epochs": 200,
        "source": "cifar10_test_200ep",
    }
    assert adapted.columns["cifar100_test_200ep"]["dataset"] == "cifar100"
    assert (
        adapted.columns["cifar10_valid_12ep"] | {"split": "valid", "epochs": 12}
        == adapted.columns["cifar10_valid_12ep"]
    )
    early = adapt("nasbench201", path, Request(epochs=12))
    assert early.table["accuracy"].tolist() == [88.2]
    assert early.columns["accuracy"]["epochs"] == 12
    with pytest.raises(ArchrepError, match="the table has 12, 200"):
        adapt("nasbench201", path, Request(epochs=50))
    with pytest.raises(ArchrepError, match=r"not of format timm.*it is of nasbench201"):
        adapt("timm", path)
    with pytest.raises(ArchrepError, match=r"Unknown format 'nasbench301'.*Did you mean"):
        adapt("nasbench301", path)


def test_nasbench101_isomorphic_cells_are_one_architecture(tmp_path):
    table = pd.DataFrame(
        {"hash": ["h", "h"], "n_vertices": [4, 4], "adj_upper": ["110011", "110011"], "ops": ["01", "10"]}
        | {"val_acc_36ep": [0.8, 0.8], "val_acc_108ep": [0.91, 0.93], "trainable_parameters": [10**6, 10**6]}
    )
    adapted = adapt("nasbench101", write_gz(table, tmp_path / "a.csv"))
    assert adapted.table["accuracy_val"].tolist() == [pytest.approx(92)]
    assert adapted.columns["accuracy_val"]["split"] == "valid"
    assert adapted.columns["params"]["source"] == "trainable_parameters"
    assert adapted.counted["further rows of an architecture, averaged with its first"] == 1


def test_nasbench_macro_and_timm(tmp_path):
    macro = pd.DataFrame(
        {"arch": ["00000012"], "mean_acc": [91.5], "acc_seed1": [91.4], "params": [10**5], "flops": [10**7]}
    )
    adapted = adapt("nasbench_macro", write_gz(macro, tmp_path / "m.csv"))
    assert adapted.table["arch"].tolist() == ["nasbench_macro:00000012"]
    assert adapted.columns["acc_seed1"]["seed"] == 1
    assert (adapted.columns["accuracy"]["source"], adapted.columns["accuracy"]["epochs"]) == ("mean_acc", 50)
    results = pd.DataFrame(
        {"model": ["resnet50.a1_in1k", "resnet50.tv_in1k", "vgg11.tv_in1k"], "top1": [80.2, 76.1, 69.0]}
        | {"img_size": [224, 224, 224], "param_count": [25.56, 25.56, 132.86]}
    )
    path = write_gz(results, tmp_path / "results-imagenet.csv")
    adapted = adapt("timm", path)
    assert dict(zip(adapted.table["arch"], adapted.table["accuracy"], strict=True)) == {
        "timm:resnet50": 76.1,
        "timm:vgg11": 69.0,
    }
    assert adapt("timm", path, Request(recipe="a1*")).table["accuracy"].tolist() == [80.2]
    assert adapted.columns["accuracy"] | {"dataset": "imagenet", "split": "val"} == adapted.columns["accuracy"]


def results(**accuracies):
    """One training in the form of the benchmark's API."""
    evaluated = OrderedDict((key.replace("__", "@").replace("_", "-"), value) for key, value in accuracies.items())
    return {"params": 1.07, "flop": np.float64(153.3), "eval_acc1es": evaluated, "train_acc1es": {0: 50.0}}


@pytest.fixture
def api_content():
    full = OrderedDict()
    for seed, accuracy in ((777, 93.5), (888, 93.9)):
        full["cifar10", seed] = results(ori_test__199=accuracy)
        full["cifar10-valid", seed] = results(x_valid__199=accuracy - 3, ori_test__199=accuracy - 2)
    full["cifar100", 777] = results(x_valid__199=70.1, x_test__199=70.3, ori_test__199=70.2)
    less = OrderedDict({("cifar10-valid", 777): results(x_valid__11=82.8, ori_test__11=85.2)})
    infos = {"full": {"arch_str": ARCH, "all_results": full}, "less": {"arch_str": ARCH, "all_results": less}}
    return {"meta_archs": [ARCH], "arch2infos": OrderedDict({0: infos}), "evaluated_indexes": {0}}


@pytest.mark.parametrize("zipped", [True, False])
def test_the_official_file_is_read_without_running_code(api_content, tmp_path, zipped):
    path = tmp_path / "NAS-Bench-201-v1_1.pth"
    torch.save(api_content, path, _use_new_zipfile_serialization=zipped)
    adapted = adapt("nasbench201", path)
    assert adapted.table["seed"].tolist() == [777, 888]
    assert adapted.table["accuracy"].tolist() == [93.5, 93.9]
    assert adapted.table["accuracy_val"].tolist() == [90.5, 90.9]
    assert adapted.table["cifar10_test_12ep"].tolist()[0] == 85.2
    assert adapted.table["cifar100_test_200ep"].tolist()[0] == 70.3
    assert adapted.table["params"].tolist() == [1_070_000.0] * 2
    assert adapted.columns["accuracy"]["source"] == "cifar10_test_200ep"
    assert "seed" not in adapted.columns


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False, None])
def test_a_file_that_would_run_code_is_refused(api_content, tmp_path, zipped):
    path, harmed = tmp_path / "n.pth", tmp_path / "harmed"
    content = api_content | {"more": Malicious(harmed)}
    if zipped is None:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    harmed.unlink(missing_ok=True)
    with pytest.raises(ArchrepError, match=r"n\.pth: refused|n\.pth: not a readable torch file"):
        adapt("nasbench201", path)
    assert not harmed.exists()


def test_other_torch_files_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "n.pth")
    with pytest.raises(ArchrepError, match="not a file of the NAS-Bench-201 API"):
        adapt("nasbench201", tmp_path / "n.pth")
