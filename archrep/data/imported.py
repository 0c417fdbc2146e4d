"""Published tables of the NAS benchmarks and of timm, read as label tables: recognised by their columns.

| table | told by | column `arch` | `accuracy` | `accuracy_val` |
|---|---|---|---|---|
| NAS-Bench-201 accuracy | `arch_str` | `nasbench201:…` | `DATASET_test_Nep` | `DATASET_valid_Nep` |
| its latencies | `arch_str` | `nasbench201:…` | | |
| its zero-cost proxies | `arch_str`, `dataset` | `nasbench201:…` | | `val_accuracy` |
| NAS-Bench-101 | `adj_upper`, `ops` | `nasbench101:…`, pruned | none (no test images) | `val_acc_Nep` |
| NAS-Bench-Macro | `arch` (8 digits), `mean_acc` | `nasbench_macro:…` | `mean_acc` | |
| timm accuracy | `arch`, `tag`, `top1` | `timm:…` | `top1`, or as asked for | |
| timm speed | `model`, `run`, `samples_per_sec` | `timm:…` | | |

Every source column is kept, in its own unit; `accuracy` and `accuracy_val` are in %, `params` and `flops` in the units
of the targets (a multiply-accumulate counts 2). What cannot be a label is missing, and counted.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from archrep.errors import ArchrepError, unknown

TEXT = ("arch", "arch_str", "adj_upper", "ops", "hash", "model", "tag", "run")  # digits among them are no numbers
EPOCHS_201 = re.compile(r"(\w+?)_(valid|test)_(\d+)ep")
EPOCHS_101 = re.compile(r"val_acc_(\d+)ep")
ALIASES = {"imagenet16-120": "imagenet16"}
NOTHING_RUNS = ("eyeriss", "fpga", "raspi4", "pixel3")  # devices on which a disconnected cell takes no time …
NO_TIME = 1.0  # … that is, less than this many ms
SENTINEL = 1e7  # zero-cost proxies beyond ± this say that they could not be computed
MILLION = 1_000_000
TOP1 = {"imagenet": "top1", "real": "top1_real", "v2": "top1_v2", "sketch": "top1_sketch", "a": "top1_a", "r": "top1_r"}


@dataclass(frozen=True)
class Request:
    """What is asked of a published table; None means its default."""

    dataset: str | None = None
    epochs: int | None = None
    recipe: str | None = None


@dataclass
class Imported:
    """A label table, still with several rows per architecture where the source has them.

    Attributes:
        table: with a column `arch`. columns: unit, direction and meaning of columns that are targets.
        counted: what was left out or changed → how often.
    """

    table: pd.DataFrame
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)

    def declare(self, names: list[str], unit: str, direction: str, meaning: str) -> None:
        """Says of columns what they are; unless that is known already."""
        for name in names:
            self.columns.setdefault(name, {"unit": unit, "direction": direction, "meaning": meaning})

    def set_missing(self, name: str, where: pd.Series, reason: str) -> None:
        """Makes values missing, and counts those that were not."""
        where = where & self.table[name].notna()
        if where.any():
            self.table.loc[where, name] = np.nan
            self.counted[reason] = self.counted.get(reason, 0) + int(where.sum())


def imported(table: pd.DataFrame, request: Request = Request()) -> Imported | None:
    """A published table as labels, or None if it is none of those known.

    Args:
        table: as read from the file, `TEXT` columns as strings.

    Raises:
        ArchrepError: for a data set, number of epochs or recipe that the table does not have, or an architecture
            that its space does not know.
    """
    columns = set(table)
    if {"split", "arch", "test_acc"} <= columns and "accuracy" not in columns:
        raise ArchrepError(
            "a table of results on DeepNets-1M: it names architectures by their index in the official files. Give it "
            "a column arch with deepnets-official:PATH:SPLIT:INDEX and a column accuracy (test_acc; val_acc of the "
            "extended table repeats test_acc outside the split val)."
        )
    for is_this, read in FORMATS:
        if is_this(columns):
            return read(table.copy(), request)
    return None


def _nasbench201(table: pd.DataFrame, request: Request) -> Imported:
    result = Imported(table.assign(arch=_canonical("nasbench201:" + table["arch_str"])))
    if "dataset" in table:
        return _zero_cost(result, request)
    accuracies = {n: m.groups() for n in table if (m := EPOCHS_201.fullmatch(str(n)))}
    if accuracies:
        known = {(dataset, int(epochs)) for dataset, _, epochs in accuracies.values()}
        dataset, epochs = _chosen(request, known, "cifar10", 200)
        for ours, theirs in (("accuracy", "test"), ("accuracy_val", "valid")):
            if (name := f"{dataset}_{theirs}_{epochs}ep") in table:
                result.table[ours] = table[name]
        result.declare(list(accuracies), "%", "higher", "top-1 after that many epochs")
    devices = [n for n in table if n not in {*accuracies, "index", "arch_str", "dataset"} and _numeric(table[n])]
    for name in set(devices) & set(NOTHING_RUNS):
        result.set_missing(name, table[name] < NO_TIME, "latencies below 1 ms (disconnected cells), read as missing")
    result.declare(devices, "ms", "lower", "latency; a batch size follows the device's name")
    return result


def _zero_cost(result: Imported, request: Request) -> Imported:
    datasets = result.table["dataset"].map(_dataset)
    dataset, _ = _chosen(request, {(name, 200) for name in datasets.unique()}, "cifar10", 200)
    result.table = result.table[datasets == dataset].drop(columns="dataset")
    table = result.table
    table["params"] *= MILLION
    table["flops"] *= 2 * MILLION  # the table counts multiply-accumulates
    if "val_accuracy" in table:
        table["accuracy_val"] = table["val_accuracy"]
    times = [n for n in table if str(n).endswith("_time_s")]
    proxies = [n for n in table if _numeric(table[n]) and n not in {*times, "params", "flops", "accuracy_val"}]
    for name in proxies:
        odd = ~(table[name].abs() < SENTINEL) | ~np.isfinite(table[name])
        result.set_missing(name, odd, "zero-cost proxies that could not be computed, read as missing")
    result.declare(["val_accuracy"], "%", "higher", "top-1 on the validation images after 200 epochs")
    result.declare(times, "s", "lower", "time to compute a proxy")
    result.declare(proxies, "", "higher", "zero-cost proxy")
    return result


def _nasbench101(table: pd.DataFrame, request: Request) -> Imported:
    table["ops"] = table["ops"].fillna("")
    if "n_vertices" in table:  # digits that were read as numbers have lost their zeros
        n = table["n_vertices"].astype(int)
        table["ops"] = [ops.zfill(k - 2) for ops, k in zip(table["ops"], n, strict=True)]
        table["adj_upper"] = [a.zfill(k * (k - 1) // 2) for a, k in zip(table["adj_upper"], n, strict=True)]
    result = Imported(table.assign(arch=_canonical("nasbench101:" + table["adj_upper"] + ":" + table["ops"])))
    if "hash" in table:  # isomorphic cells share the benchmark's hash: one architecture, under its first name
        first = result.table.groupby("hash", dropna=True)["arch"].transform("first").fillna(result.table["arch"])
        if renamed := int((first != result.table["arch"]).sum()):
            result.counted["isomorphic cells, counted as the one that comes first"] = renamed
        result.table["arch"] = first
    accuracies = [n for n in table if EPOCHS_101.fullmatch(str(n))]
    known = {("cifar10", int(n.removeprefix("val_acc_")[:-2])) for n in accuracies}
    _, epochs = _chosen(request, known, "cifar10", 108)
    result.table["accuracy_val"] = 100 * table[f"val_acc_{epochs}ep"]
    if "trainable_parameters" in table:
        result.table["params"] = table["trainable_parameters"]
    result.declare(accuracies, "fraction", "higher", "top-1 on the validation images after that many epochs")
    result.declare([n for n in table if str(n).startswith("train_time")], "s", "lower", "time to train")
    return result


def _nasbench_macro(table: pd.DataFrame, request: Request) -> Imported:
    _chosen(request, {("cifar10", 50)}, "cifar10", 50)  # arXiv:2103.11922, § 4.1
    result = Imported(table.assign(arch=_canonical("nasbench_macro:" + table["arch"].str.zfill(8))))
    result.table["accuracy"] = table["mean_acc"]
    if "flops" in table:
        result.table["flops"] = 2 * table["flops"]  # the table counts multiply-accumulates
    names = ["mean_acc", *(n for n in table if re.fullmatch(r"acc_seed\d+", str(n)))]
    result.declare(names, "%", "higher", "top-1 on the test images")
    return result


def _timm(table: pd.DataFrame, request: Request) -> Imported:
    """One row per architecture: of its recipe (tag) that most architectures have, and of the smallest images."""
    dataset, _ = _chosen(request, {(name, 0) for name in TOP1 if TOP1[name] in table}, "imagenet", 0)
    tags = table["tag"].fillna("")
    common = tags.map(tags[~table.duplicated(["arch", "tag"])].value_counts())
    rows = table.assign(tag=tags, _common=common)
    if request.recipe:
        rows = rows[[fnmatchcase(tag, request.recipe) for tag in tags]]
        if rows.empty:
            raise unknown("recipe", request.recipe, set(tags), " A recipe is a tag, or a pattern such as ra*_in1k.")
    order = ["_common", "tag", "img_size"]
    rows = rows.sort_values(order, ascending=[False, True, True], kind="stable")
    once = rows[~rows.duplicated("arch")].sort_index().drop(columns="_common")
    result = Imported(once.assign(arch="timm:" + once["arch"], accuracy=once[TOP1[dataset]]))
    if left_out := len(rows) - len(once):
        result.counted["rows of other recipes or image sizes of the same architecture, left out"] = left_out
    if "param_count" in once:
        result.table["params"] = MILLION * once["param_count"]
    result.declare([n for n in once if re.fullmatch(r"top\d\w*(?<!_err)", str(n))], "%", "higher", "accuracy of timm")
    return result


def _timm_speed(table: pd.DataFrame, request: Request) -> Imported:
    """One row per architecture: a column per run with ms per image, and the cost at the smallest images of all runs."""
    table["arch"] = "timm:" + table["model"].str.partition(".")[0]
    table["per_image"] = 1000 / table["samples_per_sec"]
    rows = table.sort_values("img_size", kind="stable")
    once = rows[~rows.duplicated(["arch", "run"])]
    wide = once.pivot(index="arch", columns="run", values="per_image")
    result = Imported(wide.reset_index())
    if left_out := len(rows) - len(once):
        result.counted["measurements at other image sizes of the same architecture and run, left out"] = left_out
    result.declare(list(wide), "ms per image", "lower", "latency in that run")
    cost = rows.groupby("arch")[["gmacs", "macts", "param_count"]].first().reindex(wide.index).reset_index(drop=True)
    result.table["params"], result.table["flops"] = MILLION * cost["param_count"], 2000 * MILLION * cost["gmacs"]
    result.table["activations"] = MILLION * cost["macts"]
    result.declare(["activations"], "count", "lower", "elements of all convolutions' outputs")
    return result


FORMATS: tuple[tuple[Callable[[set], bool], Callable[[pd.DataFrame, Request], Imported]], ...] = (
    (lambda columns: "arch_str" in columns and "arch" not in columns, _nasbench201),
    (lambda columns: {"adj_upper", "ops"} <= columns and "arch" not in columns, _nasbench101),
    (lambda columns: {"arch", "mean_acc"} <= columns and "accuracy" not in columns, _nasbench_macro),
    (lambda columns: {"arch", "tag", "top1"} <= columns and "accuracy" not in columns, _timm),
    (lambda columns: {"model", "run", "samples_per_sec", "img_size"} <= columns, _timm_speed),
)


def _canonical(specs: pd.Series) -> list[str]:
    """Canonical specs of architectures; the error names the row."""
    from archrep.space import SPACES

    names: dict[str, str] = {}
    for spec in specs.unique():
        if not isinstance(spec, str):
            raise ArchrepError(f"row {int(specs.isna().argmax()) + 1} names no architecture; take it out.")
        space, _, rest = spec.partition(":")
        if rest == "all":
            raise ArchrepError(f"{spec}: a row must name one architecture.")
        (architecture,) = SPACES[space](space, rest)
        names[spec] = architecture.id
    return [names[spec] for spec in specs]


def _dataset(name: str) -> str:
    return ALIASES.get(str(name).lower(), str(name).lower())


def _chosen(request: Request, known: set[tuple[str, int]], dataset: str, epochs: int) -> tuple[str, int]:
    """The data set and number of epochs that are asked for, by default those given; the only number if there is one.

    Raises:
        ArchrepError: if the table does not have them; lists what it has.
    """
    dataset = _dataset(request.dataset) if request.dataset else dataset
    if dataset not in {name for name, _ in known}:
        raise unknown("dataset", dataset, {name for name, _ in known})
    of_dataset = sorted(number for name, number in known if name == dataset)
    epochs = request.epochs if request.epochs is not None else epochs if epochs in of_dataset else of_dataset[-1]
    if epochs not in of_dataset:
        numbers = ", ".join(str(n) for n in of_dataset if n) or "one number of epochs, which it does not tell"
        raise ArchrepError(f"no accuracy on {dataset} after {epochs} epochs; the table has {numbers}.")
    return dataset, epochs


def _numeric(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values)


def text_columns() -> Mapping[str, type]:
    """Types of columns for pandas' reader: digits of these name something."""
    return dict.fromkeys(TEXT, str)
