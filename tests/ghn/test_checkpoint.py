"""Checkpoints: save then load is identity; everything else is refused in one line."""

import json
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from archrep import GHN, GHNConfig
from archrep.errors import ArchrepError


def rewrite(source, target, change):
    """Copies a checkpoint with a changed header."""
    with safe_open(source, framework="pt") as file:
        header = json.loads(file.metadata()["archrep"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(header, weights)
    save_file(weights, target, metadata={"archrep": json.dumps(header)})


@pytest.fixture
def saved(tmp_path, ghn):
    path = tmp_path / "ghn.safetensors"
    ghn.save(path)
    return path


def test_save_load_is_identity(saved, ghn, small):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    loaded = GHN.load(saved)
    assert torch.equal(before, torch.get_rng_state())
    assert loaded.config == ghn.config
    assert not loaded.training
    graphs = [a.graph for a in small[:2]]
    assert torch.equal(loaded.embed(graphs), ghn.embed(graphs))


def test_other_configurations(tmp_path):
    config = GHNConfig(num_classes=100, hidden=16, virtual_edges=False, normalize=False, layer_norm=False)
    GHN.untrained(config).save(tmp_path / "a.safetensors")
    assert GHN.load(tmp_path / "a.safetensors").config == config


def test_existing_file_is_kept(saved, ghn):
    before = saved.read_bytes()
    with pytest.raises(ArchrepError, match="--force"):
        ghn.save(saved)
    assert saved.read_bytes() == before
    ghn.save(saved, force=True)


def test_odd_provenance_is_left_out(saved, tmp_path):
    rewrite(saved, tmp_path / "changed.safetensors", set_key("provenance", [1, 2]))
    assert GHN.load(tmp_path / "changed.safetensors").provenance == {}


def test_names_of_released_files_are_refused(ghn, tmp_path):
    with pytest.raises(ArchrepError, match=r"ends in \.safetensors"):
        ghn.save(tmp_path / "ghn.pt")
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder(ghn, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArchrepError, match="Cannot write"):
        ghn.save(tmp_path / "file" / "ghn.safetensors")


@pytest.mark.parametrize("keep", [0, 7, 1000, 2_000_000])
def test_truncated(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(ArchrepError, match="truncated"):
        GHN.load(saved)


def set_key(key, value):
    return lambda header, weights: header.update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_key("format", 99), "format 99"),
        (set_key("kind", "probe"), "not a GHN"),
        (set_key("primitives", 5), "other primitives"),
        (set_key("primitives", ["conv"]), "other primitives"),
        (set_key("config", {"depth": 3}), "not a GHN config"),
        (set_key("config", {"hidden": 64}), "does not fit"),
        (lambda header, weights: weights.pop("norm.weight"), "does not fit"),
        (lambda header, weights: weights["norm.weight"].fill_(float("nan")), "NaN"),
    ],
)
def test_changed_checkpoints(saved, tmp_path, change, message):
    changed = tmp_path / "changed.safetensors"
    rewrite(saved, changed, change)
    with pytest.raises(ArchrepError, match=message):
        GHN.load(changed)


def test_missing_and_foreign(tmp_path):
    with pytest.raises(ArchrepError, match="no such checkpoint"):
        GHN.load(tmp_path / "none.safetensors")
    plain = tmp_path / "plain.safetensors"
    save_file({"a": torch.zeros(2)}, plain)
    with pytest.raises(ArchrepError, match="not a GHN checkpoint"):
        GHN.load(plain)
    harmful = tmp_path / "harmful.safetensors"
    harmful.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(ArchrepError):
        GHN.load(harmful)


class Harm:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))
