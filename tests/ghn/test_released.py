"""Released `.pt` checkpoints: what is read, what it becomes, and everything that is refused in one line."""

import os
import pickle
import zipfile

import pytest
import torch

from archrep import GHN, GHNConfig
from archrep.errors import ArchrepError
from archrep.ghn.released import CONFIG, HYPERNETS, WEIGHTS, load_released

GHN1 = GHNConfig(virtual_edges=False, normalize=False, layer_norm=False)
IMAGENET = GHNConfig(num_classes=1000, max_shape=(64, 64, 16, 16))


def as_released(ghn):
    """The content of a released file that holds this GHN."""
    config = {there: getattr(ghn.config, here) for there, here in CONFIG.items()} | {"decoder": "conv"}
    config["hypernet"] = next(there for there, here in HYPERNETS.items() if here == ghn.config.gnn)
    mlp = {"gnn.mlp.fc.": ghn.config.gnn == "gated", "gnn.fc.": ghn.config.gnn == "mlp"}
    state = {}
    for name, value in ghn.state_dict().items():
        there, here = next((t, h) for t, h in WEIGHTS.items() if name.startswith(h) and mlp.get(t, True))
        convolution = there.startswith(("decoder.conv.", "decoder.class")) and value.dim() == 2
        state[there + name.removeprefix(here)] = value[:, :, None, None] if convolution else value
    return {"state_dict": state, "optimzer": {}, "epoch": 299, "step": 0, "config": config}


@pytest.fixture(scope="module")
def content():
    return as_released(GHN.untrained(seed=4))


@pytest.mark.parametrize(
    "config", [GHNConfig(), GHN1, GHNConfig(gnn="mlp"), IMAGENET], ids=["ghn2", "ghn1", "mlp", "imagenet"]
)
def test_every_released_variant(config, small, tmp_path):
    ghn = GHN.untrained(config, seed=4)
    torch.save(as_released(ghn), tmp_path / "ghn.pt")
    loaded = GHN.load(tmp_path / "ghn.pt")
    assert loaded.config == config
    assert loaded.provenance["epoch"] == 299
    assert loaded.provenance["released_file"] == "ghn.pt"
    graphs = [a.graph for a in small[:3]]
    assert torch.equal(loaded.embed(graphs), ghn.embed(graphs))
    for name, value in ghn.predict(graphs[0]).items():
        assert torch.equal(loaded.predict(graphs[0])[name], value)

    loaded.save(tmp_path / "ghn.safetensors")
    again = GHN.load(tmp_path / "ghn.safetensors")
    assert again.config == config
    assert again.provenance == loaded.provenance
    assert torch.equal(again.embed(graphs), loaded.embed(graphs))


def test_half_precision_becomes_float32(content, tmp_path):
    half = {name: value.half() for name, value in content["state_dict"].items()}
    torch.save(content | {"state_dict": half}, tmp_path / "ghn.pt")
    assert {p.dtype for p in GHN.load(tmp_path / "ghn.pt").parameters()} == {torch.float32}


class Harm:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (os.mkdir, (str(self.folder),))


def test_code_is_not_executed(content, tmp_path):
    (tmp_path / "a.pt").write_bytes(pickle.dumps(Harm(tmp_path / "harmed")))
    torch.save(content | {"epoch": Harm(tmp_path / "harmed")}, tmp_path / "b.pt")
    for name in ("a.pt", "b.pt"):
        with pytest.raises(ArchrepError, match="plain values and tensors") as error:
            GHN.load(tmp_path / name)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("size", [0, 1, 100, 10_000])
def test_random_bytes(size, tmp_path):
    for seed in range(20):
        data = torch.randint(256, (size,), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
        (tmp_path / "ghn.pt").write_bytes(bytes(data.tolist()))
        with pytest.raises(ArchrepError, match=r"ghn\.pt: not a checkpoint"):
            load_released(tmp_path / "ghn.pt")


def test_truncated(content, tmp_path):
    torch.save(content, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    for keep in (10, 1000, len(whole) // 2, len(whole) - 1):
        (tmp_path / "ghn.pt").write_bytes(whole[:keep])
        with pytest.raises(ArchrepError, match="not a checkpoint of plain values"):
            load_released(tmp_path / "ghn.pt")


def config(**changes):
    return lambda content: content | {"config": content["config"] | changes}


def weight(name, value):
    return lambda content: content | {"state_dict": content["state_dict"] | {name: value}}


def without(part, name):
    return lambda content: content | {part: {k: v for k, v in content[part].items() if k != name}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["state_dict"], "not a released GHN"),
        (lambda content: [content], "not a released GHN"),
        (lambda content: content | {"config": None}, "not a released GHN"),
        (without("config", "ve"), "missing or unknown here: ve"),
        (config(depth=3), "missing or unknown here: depth"),
        (config(decoder="mlp"), "decoder 'mlp'"),
        (config(hypernet="graphormer"), "hypernet 'graphormer'"),
        (config(hypernet=["mlp"]), "hypernet"),
        (config(hypernet="mlp"), "does not fit"),
        (config(layernorm=False), "does not fit"),
        (config(layernorm="no"), "layer_norm must be true or false"),
        (config(ve=False), "does not fit"),
        (config(num_classes=1000), "does not fit"),
        (config(num_classes=10**12), "num_classes"),
        (config(max_shape=(64, 64, 16, 16)), "does not fit"),
        (config(max_shape=(64, 64, 11)), "max_shape"),
        (config(max_shape=(8192, 8192, 64, 64)), "does not fit"),
        (config(max_shape=None), "max_shape"),
        (config(hid=31), "hidden"),
        (config(hid="32"), "hidden"),
        (without("state_dict", "ln.weight"), "does not fit"),
        (without("state_dict", "gnn.gru.bias_hh"), "does not fit"),
        (weight("ln.weight", torch.zeros(16)), "does not fit"),
        (weight("ln.weight", torch.full((32,), float("nan"))), "NaN"),
        (weight("ln.weight", torch.zeros(32, dtype=torch.int64)), "not of plain floats"),
        (weight("ln.weight", [0.0] * 32), "'ln.weight' is not a weight"),
        (weight("head.weight", torch.zeros(32)), "'head.weight' is not a weight"),
        (weight(7, torch.zeros(32)), "'7' is not a weight"),
    ],
)
def test_refused(content, tmp_path, change, message):
    torch.save(change(content), tmp_path / "ghn.pt")
    with pytest.raises(ArchrepError, match=message) as error:
        load_released(tmp_path / "ghn.pt")
    assert "ghn.pt" in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_that_are_not_plain_tensors(content, tmp_path):
    for odd in (
        torch.zeros(32).to_sparse(),
        torch.zeros(32, device="meta"),
        torch.zeros(1).expand(32),
        torch.zeros(32).to(torch.float8_e4m3fn),
        torch.zeros(32, dtype=torch.complex64),
    ):
        torch.save(weight("ln.weight", odd)(content), tmp_path / "ghn.pt")
        with pytest.raises(ArchrepError, match="not of plain floats"):
            load_released(tmp_path / "ghn.pt")
    shared = torch.ones(32)
    changed = weight("ln.bias", shared)(weight("ln.weight", shared)(content))
    torch.save(changed, tmp_path / "alias.pt")
    load_released(tmp_path / "alias.pt").save(tmp_path / "alias.safetensors")  # each in memory of its own


def test_messages_stay_short(content, tmp_path):
    nested = [0]
    for _ in range(18):
        nested = [nested, nested]
    for change in (config(max_shape=nested), config(hypernet=nested), config(num_classes=torch.arange(9999))):
        torch.save(change(content), tmp_path / "ghn.pt")
        with pytest.raises(ArchrepError) as error:
            load_released(tmp_path / "ghn.pt")
        assert len(str(error.value)) < 1000
        assert "\n" not in str(error.value)


def test_compressed_archives_are_not_unpacked(content, tmp_path):
    with zipfile.ZipFile(tmp_path / "ghn.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"0" * 1_000_000)
    with pytest.raises(ArchrepError, match="compressed"):
        load_released(tmp_path / "ghn.pt")


def test_missing(tmp_path):
    with pytest.raises(ArchrepError, match="no such checkpoint"):
        GHN.load(tmp_path / "none.pt")
