"""`archrep graph` and `archrep list` as users type them."""

import json
import sys
from importlib.util import find_spec

import pytest
from PIL import Image

from archrep import architectures
from archrep.cli import main
from archrep.space.listing import ABOUT, EXAMPLES, SPLITS, listing
from archrep.space.specs import SPACES

OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.spare = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(2, 2)

    def forward(self, x):
        return x + self.conv(x)[:, :3]
"""


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs a command in an empty folder; gives exit code, stdout and stderr."""

    def command(*args):
        monkeypatch.setattr(sys, "argv", ["archrep", *map(str, args)])
        with pytest.raises(SystemExit) as exit:
            main()
        captured = capsys.readouterr()
        return exit.value.code, captured.out, captured.err

    monkeypatch.chdir(tmp_path)
    return command


def test_summary_counts_what_is_there(run, tmp_path):
    (tmp_path / "nets.py").write_text(OWN)
    code, out, _ = run("graph", "nets.py:Net", "--json")
    assert code == 0
    summary = json.loads(out)
    # input -> conv -> bias -> sum, and input -> sum
    assert summary["primitives"] == {"input": 1, "conv": 1, "bias": 1, "sum": 1}
    assert (summary["nodes"], summary["edges"], summary["virtual_edges"]) == (4, 4, 2)
    assert (summary["depth"], summary["width"]) == (3, 1)
    assert (summary["params"], summary["params_unused"]) == (8 * 27 + 8, 6)
    assert summary["flops"] == 2 * 8 * 27 * 32 * 32
    code, out, _ = run("graph", "nets.py:Net")
    assert code == 0
    lines = {" ".join(line.split()) for line in out.splitlines()}
    assert {"conv 1", "parameters 224", "unused parameters 6", "FLOPs per input of 3×32×32 442,368"} <= lines


def test_written_graph_is_the_graph(run, tmp_path):
    code, out, _ = run("graph", "deepnets-small:test:0", "--out", "graph.json")
    assert code == 0
    assert "Graph: graph.json" in out
    content = json.loads((tmp_path / "graph.json").read_text())
    graph = next(architectures("deepnets-small:test:0")).graph
    assert content["summary"]["arch"] == "deepnets-small:test:0"
    assert content["edges"] == graph.edge_index.t().tolist()
    assert [node["primitive"] for node in content["nodes"]] == graph.primitives
    assert [node["shape"] for node in content["nodes"]] == graph.shape.tolist()
    shapes = {name: tuple(shape) for node in content["nodes"] for name, shape in node["parameters"].items()}
    assert shapes == graph.param_shapes
    assert content["unused"] == list(graph.unused)
    assert "versions" in content["provenance"]


def test_drawings_are_written_and_the_same_every_time(run, tmp_path):
    for name in ("a.png", "a.svg"):
        assert run("graph", "deepnets-small:test:1", "--out", name)[0] == 0
        first = (tmp_path / name).read_bytes()
        code, _, err = run("graph", "deepnets-small:test:1", "--out", name)
        assert code == 2
        assert "--force" in err
        assert run("graph", "deepnets-small:test:1", "--out", name, "--force")[0] == 0
        assert (tmp_path / name).read_bytes() == first
    with Image.open(tmp_path / "a.png") as image:
        assert min(image.size) > 400


def test_spaces_are_listed(run):
    code, out, _ = run("list")
    assert code == 0
    for name in SPACES:
        assert f" {name} " in out
    rows = {row["space"]: row for row in json.loads(run("list", "--json")[1])["spaces"]}
    assert set(rows) == {*SPACES, "own"}
    assert rows["deepnets-small"]["size"] == 1_101_400
    assert set(SPACES) <= set(ABOUT)


def test_splits_are_listed_with_their_sizes(run):
    assert "1,000,000" in run("list", "deepnets")[1]
    for space, splits in SPLITS.items():
        assert json.loads(run("list", space, "--json")[1])["splits"] == splits
        for split, size in splits.items():
            assert len(list(architectures(f"{space}:{split}:{size - 1}"))) == 1
            with pytest.raises(Exception, match=f"0 … {size - 1}"):
                architectures(f"{space}:{split}:{size}")


@pytest.mark.skipif(not find_spec("torchvision"), reason="needs torchvision")
def test_names_are_listed(run):
    assert "resnet50" in run("list", "torchvision")[1].splitlines()
    facts = listing("torchvision")
    assert facts["size"] == len(facts["names"]) == len(list(architectures("torchvision:*")))


@pytest.mark.parametrize("space", [name for name in EXAMPLES if name.startswith("nasbench") and name in SPACES])
def test_examples_name_architectures(space):
    assert listing(space)["example"].startswith(f"{space}:")
    chosen = list(architectures(EXAMPLES[space]))
    assert len(chosen) == (ABOUT[space].size if EXAMPLES[space].endswith(":all") else 1)


ERRORS = {
    "unknown suffix": ("graph deepnets-small:test:0 --out graph.pdf", ".png, .svg, .json"),
    "several": ("graph deepnets-small:test:0-3", "graph takes one, such as deepnets-small:test:0"),
    "unknown split": ("graph deepnets-small:tests:0", "Did you mean 'test'"),
    "nothing": ("graph empty.csv", "name none"),
    "existing": ("graph deepnets-small:test:0 --out there.svg", "--force"),
    "unwritable": ("graph deepnets-small:test:0 --out there.svg/graph.png", "Cannot write"),
    "unknown space": ("list deepnet-small", "Did you mean 'deepnets-small'"),
}


@pytest.mark.parametrize("case", list(ERRORS))
def test_expected_errors_are_one_line(case, run, tmp_path):
    (tmp_path / "empty.csv").write_text("arch\n")
    (tmp_path / "there.svg").write_text("drawn by hand")
    command, message = ERRORS[case]
    code, out, err = run(*command.split())
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"empty.csv": "arch\n", "there.svg": "drawn by hand"}


def test_a_missing_package_is_one_line(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "torchvision.models", raising=False)
    code, out, err = run("list", "torchvision")
    assert (code, out) == (2, "")
    assert "pip install" in err
    assert len(err.strip().splitlines()) == 1


def test_help_shows_an_example(run):
    for name in ("list", "graph"):
        code, out, _ = run(name, "--help")
        assert code == 0
        assert f"Example: archrep {name}" in " ".join(out.split())
