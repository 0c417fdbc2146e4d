"""Probes whose digest is right and whose content is not: their author can seal whatever they hold.

scikit-learn's compiled code trusts its own arrays, so models are read in a process of its own: one that dies, hangs or
swells is seen from outside.
"""

import io
import json
import subprocess
import sys
import zipfile
from copy import deepcopy
from dataclasses import asdict, replace

import numpy as np
import pytest

from archrep.data.targets import TARGETS
from archrep.errors import ArchrepError
from archrep.probe import load_probe, models, save_probe
from archrep.probe.saved import FittedProbe, digest
from archrep.probe.transform import standard
from tests.cli import here
from tests.faults.fuzz import replace_member

D = 3  # columns
READER = """
import resource, signal, sys
import numpy as np
from archrep.errors import ArchrepError
from archrep.probe import load_probe
size = 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1])
resource.setrlimit(resource.RLIMIT_AS, (size + 2 * 2**30, -1))
for line in sys.stdin:
    signal.alarm(20)
    try:
        probe = load_probe(line.strip())
        x = np.random.default_rng(0).normal(size=(50, 3))
        print("accepted", probe.predict(dict.fromkeys(probe.encoders, x))[0], flush=True)
    except ArchrepError as error:
        print("refused:", error, flush=True)
    signal.alarm(0)
"""


@pytest.fixture(scope="module")
def reader():
    """Reads and applies a probe in another process; a new one if that dies."""
    processes = []

    def read(folder):
        if not processes or processes[-1].poll() is not None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            processes.append(subprocess.Popen([sys.executable, "-c", READER], **pipes))
        processes[-1].stdin.write(f"{folder}\n")
        processes[-1].stdin.flush()
        answer = processes[-1].stdout.readline()
        assert answer, f"the process died ({processes[-1].wait()})"
        return answer

    yield read
    for process in processes:
        process.communicate()


@pytest.fixture(scope="module")
def fitted():
    """A small probe of each kind of model."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, D)), rng.normal(size=40)
    transform = standard(y)
    t = transform.forward(y)
    folds = np.array_split(np.arange(40), 2)
    made = {name: models.fit_probe(name, x, t, folds, 0).model for name in ("ridge", "svr", "gp", "knn")}
    made["forest"] = models._forest(40, D, 0).set_params(n_estimators=3).fit(x, t)
    made["boosting"] = models._boosting(40, D, 0).set_params(n_estimators=3).fit(x, t)
    made["binned"] = models._boosting(10**6, D, 0).set_params(max_iter=3, min_samples_leaf=20).fit(x, t)
    made["mean"] = models.fit_mean(x, t, folds, 0).model
    facts = {"seed": 0, "provenance": {"checkpoint": "ghn.safetensors", "checkpoint_digest": "0"}}
    rest = (transform, rng.normal(size=40), np.arange(40), facts)
    return {kind: FittedProbe(TARGETS["accuracy"], [("size", kind)], [model], *rest) for kind, model in made.items()}


def tree_of(model):
    trees = model.estimators_
    return (trees[0] if isinstance(trees, list) else trees[0, 0]).tree_


def nodes(**new):
    """Changes every branching node of the first tree of a forest or of boosting."""

    def change(model):
        tree = tree_of(model)
        state = tree.__getstate__()
        inner = state["nodes"]["left_child"] >= 0
        assert inner.any()
        for name, value in new.items():
            state["nodes"][name][inner] = value
        tree.__setstate__(state)

    return change


def bins(**new):
    """Likewise of boosting with bins."""

    def change(model):
        array = model._predictors[0][0].nodes
        inner = array["is_leaf"] == 0
        assert inner.any()
        for name, value in new.items():
            array[name][inner] = value

    return change


def leaves(model):
    tree = tree_of(model)
    state = tree.__getstate__()
    state["values"][:] = np.nan
    tree.__setstate__(state)


def learned(**new):
    """Sets attributes of the estimator, behind the scaler if there is one; a function gets what was there."""

    def change(model):
        last = model[-1] if hasattr(model, "steps") else model
        for name, value in new.items():
            vars(last)[name] = value(vars(last).get(name)) if callable(value) else value

    return change


def scaler(**new):
    return lambda model: learned(**new)(model[0])


def kernel(model):
    model[-1].kernel_.k1.k2.length_scale = float("nan")


def full(value):
    return lambda array: np.full_like(array, value)


def cut(array):
    return array[:2].copy()


TREES = {
    "branches beyond its nodes": nodes(left_child=2**40, right_child=2**40),
    "negative branches": nodes(left_child=-(2**40)),
    "a circle": nodes(left_child=0, right_child=0),
    "columns beyond the data": nodes(feature=2**40),
    "negative columns": nodes(feature=-7),
    "NaN thresholds": nodes(threshold=np.nan),
    "NaN leaves": leaves,
    "many columns": learned(n_features_in_=10**12),
    "text for columns": learned(n_features_in_="3"),
}
MODELS = {f"{kind}, {name}": (kind, change) for kind in ("forest", "boosting") for name, change in TREES.items()}
MODELS |= {
    "forest, a thousand processes": ("forest", learned(n_jobs=1000)),
    "forest, no trees": ("forest", learned(estimators_=[])),
    "boosting, no trees": ("boosting", learned(estimators_=lambda trees: trees[:0])),
    "boosting, two columns of trees": ("boosting", learned(estimators_=lambda trees: np.hstack([trees, trees]))),
    "boosting, endless steps": ("boosting", learned(learning_rate=float("inf"))),
    "binned, branches beyond its nodes": ("binned", bins(left=2**31, right=2**31)),
    "binned, a circle": ("binned", bins(left=0, right=0)),
    "binned, columns beyond the data": ("binned", bins(feature_idx=2**30)),
    "binned, categories": ("binned", bins(is_categorical=1, bitset_idx=2**30)),
    "binned, NaN thresholds": ("binned", bins(num_threshold=np.nan)),
    "binned, many columns": ("binned", learned(n_features_in_=10**12)),
    "binned, no nodes": ("binned", lambda model: setattr(model._predictors[0][0], "nodes", np.zeros(0, np.int8))),
    "svr, few support vectors": ("svr", learned(support_vectors_=cut)),
    "svr, few support vectors, counted": ("svr", learned(support_vectors_=cut, _n_support=np.int32([1, 1]))),
    "svr, narrow support vectors": ("svr", learned(support_vectors_=lambda v: v[:, :1].copy())),
    "svr, few coefficients": ("svr", learned(_dual_coef_=lambda v: v[:, :2].copy())),
    "svr, no coefficients": ("svr", learned(_dual_coef_=np.zeros((1, 0)), dual_coef_=np.zeros((1, 0)))),
    "svr, many classes": ("svr", learned(_n_support=np.full(9, 2**30, np.int32))),
    "svr, no intercept": ("svr", learned(_intercept_=np.zeros(0))),
    "svr, NaN": ("svr", learned(_dual_coef_=full(np.nan))),
    "svr, other numbers": ("svr", learned(support_vectors_=lambda v: v.astype(np.float32))),
    "svr, kernel that indexes": ("svr", learned(kernel="precomputed", support_=full(2**31 - 1))),
    "svr, text for numbers": ("svr", learned(gamma="auto")),
    "knn, few labels": ("knn", learned(_y=cut)),
    "knn, no points": ("knn", learned(_fit_X=np.zeros((0, D)), _y=np.zeros(0))),
    "knn, many neighbours": ("knn", learned(n_neighbors=10**6)),
    "knn, NaN": ("knn", learned(_fit_X=full(np.nan))),
    "knn, indices for distances": ("knn", learned(metric="precomputed")),
    "gp, few weights": ("gp", learned(alpha_=cut)),
    "gp, NaN": ("gp", learned(alpha_=full(np.nan))),
    "gp, NaN in the kernel": ("gp", kernel),
    "ridge, NaN": ("ridge", learned(coef_=full(np.nan))),
    "ridge, infinite": ("ridge", learned(intercept_=np.float64("inf"))),
    "ridge, few coefficients": ("ridge", learned(coef_=cut)),
    "ridge, two predictions": ("ridge", learned(coef_=lambda v: np.stack([v, v]))),
    "ridge, huge numbers": ("ridge", learned(coef_=full(1e308))),
    "ridge, attributes instead of numbers": ("ridge", learned(coef_=None)),
    "scaler, divides by nothing": ("ridge", scaler(scale_=full(0.0))),
    "scaler, few means": ("svr", scaler(mean_=cut)),
    "scaler, many columns": ("gp", scaler(n_features_in_=10**12)),
    "mean, NaN": ("mean", learned(constant_=full(np.nan))),
    "mean, many": ("mean", learned(n_outputs_=10**12, constant_=np.zeros((1, 2)))),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name, fitted, reader, tmp_path, record_property):
    record_property("fault", f"probe sealed again: {name}")
    record_property("cases", 1)
    kind, change = MODELS[name]
    model = deepcopy(fitted[kind].models[0])
    change(model)
    save_probe(replace(fitted[kind], models=[model]), tmp_path)
    answer = reader(tmp_path)
    assert answer.startswith("refused:"), answer
    assert tmp_path.name in answer


def test_attributes_that_hide_those_of_a_class_are_not_taken_over(fitted, reader, tmp_path, record_property):
    record_property("fault", "probe sealed again: another algorithm in an attribute")
    record_property("cases", 1)
    model = deepcopy(fitted["svr"].models[0])
    learned(_impl="c_svc", _sparse=True, _gamma=float("nan"))(model)
    save_probe(replace(fitted["svr"], models=[model]), tmp_path)
    whole = tmp_path / "whole"
    whole.mkdir()
    save_probe(fitted["svr"], whole)
    assert reader(tmp_path) == reader(whole)
    assert reader(whole).startswith("accepted")


def sealed(folder):
    """Gives the changed content of a folder its digest."""
    facts = json.loads((folder / "probe.json").read_text())
    facts["digest"] = digest({k: v for k, v in facts.items() if k != "digest"}, folder / "probe.skops")
    (folder / "probe.json").write_text(json.dumps(facts))


def test_trees_that_say_to_have_fewer_nodes(fitted, reader, tmp_path, record_property):
    record_property("fault", "probe sealed again: tree that says to have fewer nodes, so that fewer are looked at")
    record_property("cases", 1)
    save_probe(fitted["forest"], tmp_path)
    with zipfile.ZipFile(tmp_path / "probe.skops") as archive:
        schema = json.loads(archive.read("schema.json"))
    trees = schema["content"][0]["content"]["content"]["estimators_"]["content"]
    count = trees[0]["content"]["content"]["tree_"]["content"]["content"]["node_count"]
    count |= {"content": "1", "__id__": 1}  # its own, as equal numbers may share theirs
    replace_member(tmp_path / "probe.skops", "schema.json", json.dumps(schema).encode())
    sealed(tmp_path)
    assert "nodes that says 1" in reader(tmp_path)


@pytest.mark.parametrize(
    "given", [{}, [], "model", 3, [None], [[]], ["two", "of them"]], ids=lambda given: str(given) or "empty"
)
def test_no_models(given, fitted, tmp_path, record_property):
    import skops.io

    record_property("fault", f"probe sealed again: models are {given}")
    record_property("cases", 1)
    save_probe(fitted["ridge"], tmp_path)
    skops.io.dump(given, tmp_path / "probe.skops")
    sealed(tmp_path)
    with pytest.raises(ArchrepError, match="not a readable probe"):
        load_probe(tmp_path)


def at(*path, value):
    """Sets a value in the facts."""

    def change(facts):
        for key in path[:-1]:
            facts = facts[key]
        facts[path[-1]] = value

    return change


NAN, HUGE = float("nan"), 2**70
FACTS = {
    "facts are a list": at("facts", value=[1]),
    "facts are text": at("facts", value="x"),
    "seed is text": at("facts", "seed", value="x"),
    "seed is negative": at("facts", "seed", value=-1),
    "seed is huge": at("facts", "seed", value=HUGE),
    "seed is true": at("facts", "seed", value=True),
    "provenance is a list": at("facts", "provenance", value=[1]),
    "provenance is null": at("facts", "provenance", value=None),
    "digest of the checkpoint is an object": at("facts", "provenance", "checkpoint_digest", value={}),
    "name of the checkpoint is a number": at("facts", "provenance", "checkpoint", value=5),
    "transform is a list": at("transform", value=[[1, 2], [1, 2]]),
    "transform of text": at("transform", value={"raw": [1, 2], "transformed": ["a", "b"]}),
    "transform of one knot": at("transform", value={"raw": [1.0], "transformed": [1.0]}),
    "transform of other lengths": at("transform", value={"raw": [1.0, 2.0, 3.0], "transformed": [1.0, 2.0]}),
    "transform that does not rise": at("transform", value={"raw": [1.0, 1.0], "transformed": [1.0, 2.0]}),
    "transform with NaN": at("transform", value={"raw": [1.0, NAN], "transformed": [1.0, 2.0]}),
    "transform of lists": at("transform", value={"raw": [[1.0], [2.0]], "transformed": [[1.0], [2.0]]}),
    "members are numbers": at("members", value=[[5, 6]]),
    "members are missing": at("members", value=[]),
    "members are more than models": at("members", value=[["size", "svr"], ["size", "svr"]]),
    "members are three each": at("members", value=[["size", "svr", "x"]]),
    "members are text": at("members", value="xy"),
    "encoder moves the cursor": at("members", value=[["\x1b[2J", "svr"]]),
    "target is a list": at("target", value=["accuracy"]),
    "target's name is a list": at("target", "name", value=["a"]),
    "target's name is empty": at("target", "name", value=""),
    "target's name moves the cursor": at("target", "name", value="\x1b]0;other title\x07\x1b[31mred"),
    "target's unit clears the screen": at("target", "unit", value="\x1b[2J"),
    "target's unit turns the text": at("target", "unit", value="\u202e"),
    "target's unit is null": at("target", "unit", value=None),
    "target's meaning has lines": at("target", "meaning", value="one\ntwo"),
    "target's direction is text": at("target", "higher_is_better", value="yes"),
    "target has more": at("target", "x", value=1),
    "residuals are NaN": at("residuals", value=[NAN] * 40),
    "residuals are null": at("residuals", value=[None] * 40),
    "residuals are a number": at("residuals", value=3),
    "residuals are too few": at("residuals", value=[0.1] * 3),
    "residuals are missing": at("residuals", value=[]),
    "residuals are huge integers": at("residuals", value=[HUGE] * 40),
    "groups are too few": at("groups", value=[0]),
    "groups are texts": at("groups", value=["a"] * 40),
    "groups are fractions": at("groups", value=[0.5] * 40),
    "groups are lists": at("groups", value=[[0]] * 40),
    "format is another": at("format", value=[]),
}


@pytest.mark.parametrize("name", FACTS)
def test_facts(name, fitted, tmp_path, record_property):
    record_property("fault", f"probe sealed again: {name}")
    record_property("cases", 1)
    save_probe(fitted["svr"], tmp_path)
    load_probe(tmp_path)
    facts = json.loads((tmp_path / "probe.json").read_text())
    FACTS[name](facts)
    (tmp_path / "probe.json").write_text(json.dumps(facts))
    sealed(tmp_path)
    out = tmp_path / "p.csv"
    done = here.archrep("predict-target", "--probe", tmp_path, "--archs", "deepnets-small:test:0", "--out", out)
    assert (done.returncode, done.stdout, out.exists()) == (2, "", False)
    assert done.stderr.startswith(f"archrep: {tmp_path}: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr.removesuffix("\n").isprintable()


def test_the_facts_as_they_are_saved_are_accepted(fitted, tmp_path):
    """So that the test above refuses what it changes."""
    save_probe(fitted["svr"], tmp_path)
    assert asdict(load_probe(tmp_path).target) == asdict(TARGETS["accuracy"])


def test_a_warning_of_scikit_learn_does_not_repeat_what_the_file_says(fitted, tmp_path, recwarn, record_property):
    record_property("fault", "probe sealed again: version of scikit-learn with escape sequences")
    record_property("cases", 1)
    save_probe(fitted["ridge"], tmp_path)
    with zipfile.ZipFile(tmp_path / "probe.skops") as archive:
        schema = archive.read("schema.json").decode()
    import sklearn

    assert f'"\\"{sklearn.__version__}\\""' in schema
    changed = schema.replace(f'"\\"{sklearn.__version__}\\""', r'"\"\\u001b[2J\""')
    replace_member(tmp_path / "probe.skops", "schema.json", changed.encode())
    sealed(tmp_path)
    load_probe(tmp_path)
    assert not recwarn.list


@pytest.mark.parametrize("size", ["told", "hidden"])
def test_a_compressed_archive(size, fitted, reader, tmp_path, record_property):
    record_property("fault", f"probe sealed again: archive that unfolds a thousandfold, its size {size}")
    record_property("cases", 1)
    save_probe(fitted["ridge"], tmp_path)
    path = tmp_path / "probe.skops"
    with zipfile.ZipFile(path) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    name = next(name for name in members if name.endswith(".npy"))
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (2**28,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for other in members.keys() - {name}:
            new.writestr(other, members[other])
        with new.open(name, "w", force_zip64=True) as member:
            member.write(file.getvalue())
            for _ in range(2**6):
                member.write(bytes(2**22))
    data = path.read_bytes()
    if size == "hidden":
        told = (2**28 + len(file.getvalue())).to_bytes(4, "little")
        assert told in data
        path.write_bytes(data.replace(told, (100).to_bytes(4, "little")))
    assert len(data) < 500_000
    sealed(tmp_path)
    assert "it is compressed" in reader(tmp_path)


def test_one_array_that_is_read_often(fitted, reader, tmp_path, record_property):
    record_property("fault", "probe sealed again: array of a megabyte that is named two thousand times")
    record_property("cases", 1)
    save_probe(fitted["ridge"], tmp_path)
    path = tmp_path / "probe.skops"
    with zipfile.ZipFile(path) as archive:
        schema = json.loads(archive.read("schema.json"))
    array = {"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode", "type": "numpy"}
    copies = [array | {"__id__": i, "file": "1.npy"} for i in range(1, 2001)]
    schema["content"] += [{"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": copies}]
    file = io.BytesIO()
    np.save(file, np.zeros(2**17))
    replace_member(path, "schema.json", json.dumps(schema).encode())
    replace_member(path, "1.npy", file.getvalue())
    sealed(tmp_path)
    assert "is not named by its id" in reader(tmp_path)
