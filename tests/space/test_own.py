"""Users' own networks: what is found, what is called, and one line for everything that can go wrong."""

import pytest
import torch

import archrep
from archrep.errors import ArchrepError

NETS = """
from dataclasses import dataclass
from torch import nn
from beside import CLASSES

@dataclass
class Config:
    width: int = 4

class Net(nn.Sequential):
    def __init__(self, channels=3, size=32):
        c = Config().width
        super().__init__(nn.Conv2d(channels, c, 3, padding=1), nn.Flatten(), nn.Linear(c * size * size, CLASSES))

def small():
    network = Net(1, 8)
    network.input_shape = (1, 8, 8)
    return network

def wide():
    return Net(3, 16)

wide.input_shape = [3, 16, 16]

def text():
    return "network"

def fails():
    raise ValueError("no\\nweights")

def quits():
    raise SystemExit(3)

def odd():
    network = Net()
    network.input_shape = "3x32x32"
    return network

def needs(width):
    return Net()
"""


@pytest.fixture
def nets(tmp_path):
    (tmp_path / "beside.py").write_text("CLASSES = 10")
    file = tmp_path / "nets.py"
    file.write_text(NETS)
    return file


def one(spec):
    (architecture,) = archrep.architectures(spec)
    return architecture


@pytest.mark.parametrize(("name", "shape"), [("Net", (3, 32, 32)), ("small", (1, 8, 8)), ("wide", (3, 16, 16))])
def test_a_callable_of_a_file(nets, name, shape):
    before = torch.get_rng_state()
    architecture = one(f"{nets}:{name}")
    assert architecture.id == f"{nets}:{name}"
    assert architecture.input_shape == shape
    assert architecture.graph.primitives == ["input", "conv", "bias", "conv", "bias"]
    assert torch.equal(torch.get_rng_state(), before)
    assert architecture.build()(torch.randn(2, *shape)).shape == (2, 10)


def test_relative_files_and_modules(nets, monkeypatch):
    monkeypatch.chdir(nets.parent)
    assert one("nets.py:Net").id == "nets.py:Net"
    found = one("archrep.space.resnet:resnet50")
    assert found.id == "archrep.space.resnet:resnet50"
    assert found.input_shape == (3, 224, 224)
    monkeypatch.syspath_prepend(nets.parent)
    (nets.parent / "torchvision_like.py").write_text(NETS)
    assert one("torchvision_like:small").input_shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nett", "Unknown callable of .*nets.py 'nett'.*Available: .*Net"),
        ("CLASSES", "Unknown callable of .*nets.py"),
        ("", "Unknown callable of .*nets.py"),
        ("text", "nets.py:text: returns str"),
        ("fails", r"nets.py:fails: the call fails \(ValueError: no\)"),
        ("quits", "nets.py:quits: the call fails .SystemExit"),
        ("needs", "nets.py:needs: the call fails .TypeError.*width"),
        ("odd", "nets.py:odd: input_shape is '3x32x32'"),
    ],
)
def test_bad_callables(nets, name, message):
    with pytest.raises(ArchrepError, match=message) as caught:
        archrep.architectures(f"{nets}:{name}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nowhere", r"broken.py: cannot be imported \(ModuleNotFoundError: No module named 'nowhere'\)"),
        ("def net(:", r"broken.py: cannot be imported \(SyntaxError"),
        ("raise SystemExit", r"broken.py: cannot be imported \(SystemExit"),
    ],
)
@pytest.mark.parametrize("as_module", [False, True])
def test_broken_files(tmp_path, monkeypatch, code, message, as_module):
    (tmp_path / "broken.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    spec = "broken:net" if as_module else f"{tmp_path}/broken.py:net"
    with pytest.raises(ArchrepError, match=message.replace(".py", "") if as_module else message):
        archrep.architectures(spec)


def test_missing_files_and_modules(tmp_path):
    for spec, message in (
        (f"{tmp_path}/nets.py:Net", "nets.py: no such file"),
        ("nets.py", "nets.py: no such file"),
        ("no.such.module:net", "Unknown space 'no.such.module'.*file.py:callable"),
        ("torch.nowhere:net", "Unknown space 'torch.nowhere'"),
        ("deepnets-smal:test:0", "Did you mean 'deepnets-small'"),
        ("torch:", "Unknown callable of torch ''"),
    ):
        with pytest.raises(ArchrepError, match=message):
            archrep.architectures(spec)
