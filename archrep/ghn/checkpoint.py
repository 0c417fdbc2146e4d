"""GHN checkpoints: safetensors with a JSON header. Never pickle.

Metadata `archrep` of the file: format version, config, primitives and provenance. Released `.pt` files
are read by released.py.
"""

import dataclasses
import json
import reprlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from archrep.errors import ArchrepError, first_line
from archrep.files import atomic, from_json
from archrep.ghn.config import GHNConfig
from archrep.ghn.model import GHN
from archrep.graph.primitives import VOCABULARIES

FORMAT = 1
RELEASED_SUFFIXES = (".pt", ".pth")  # files that released.py reads


def save_ghn(ghn: GHN, path: Path, force: bool = False) -> None:
    """Writes weights and description to `path`, atomically."""
    header = {
        "format": FORMAT,
        "kind": "ghn",
        "config": dataclasses.asdict(ghn.config),
        "primitives": VOCABULARIES[ghn.config.vocabulary],
        "provenance": ghn.provenance,
    }
    if path.suffix in RELEASED_SUFFIXES:
        raise ArchrepError(f"{path}: GHNs are saved as safetensors; give the file a name that ends in .safetensors.")
    weights = {name: value.detach().cpu().contiguous() for name, value in ghn.state_dict().items()}
    with atomic(path, force) as temporary:
        save_file(weights, temporary, metadata={"archrep": json.dumps(header)})


def load_ghn(path: Path) -> GHN:
    """Reads and checks a checkpoint; see `GHN.load`."""
    refuse_missing(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = from_json((file.metadata() or {}).get("archrep", "null"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise ArchrepError(
            f"{path}: not a readable safetensors file ({first_line(error)}); it may be truncated. Copy it again."
        ) from error
    config = _checked_config(path, header)
    provenance = header.get("provenance")
    return assemble(path, config, weights, provenance if isinstance(provenance, dict) else {})


def refuse_missing(path: Path) -> None:
    """Raises ArchrepError if there is no such file."""
    if not path.is_file():
        raise ArchrepError(f"{path}: no such checkpoint. Train one with `archrep train`, or leave --checkpoint out.")


def assemble(path: Path, config: GHNConfig, weights: dict[str, Tensor], provenance: dict) -> GHN:
    """A GHN, in evaluation mode, that holds exactly these weights as float32.

    Raises:
        ArchrepError: if a weight is missing, unknown, of another shape, not of floats or not finite.
    """
    with torch.device("meta"):  # allocates nothing, so that a config cannot ask for more than the file holds
        ghn = GHN(config, provenance)
    wanted = ghn.state_dict()
    wrong = next((n for n in (*wanted, *weights) if not _fits(wanted.get(n), weights.get(n))), None)
    if wrong is not None:
        have, want = (tuple(t.shape) if t is not None else "none" for t in (weights.get(wrong), wanted.get(wrong)))
        raise ArchrepError(
            f"{path}: weight {wrong[:60]!r} does not fit the checkpoint's own config: expected {want}, got {have}."
        )
    broken = next((name for name, value in weights.items() if not _is_finite(value)), None)
    if broken:
        raise ArchrepError(f"{path}: weight {broken!r} is not of plain floats, or has NaN or infinite values.")
    ghn.load_state_dict({name: value.to(torch.float32, copy=True) for name, value in weights.items()}, assign=True)
    return ghn.eval()


def _fits(wanted: Tensor | None, given: Tensor | None) -> bool:
    return wanted is not None and given is not None and wanted.shape == given.shape


def _is_finite(weight: Tensor) -> bool:
    """Whether it holds finite numbers of an ordinary floating dtype, each in memory of its own."""
    plain = weight.layout is torch.strided and weight.device.type == "cpu" and not weight.is_nested
    dtypes = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    return plain and weight.dtype in dtypes and weight.is_contiguous() and bool(torch.isfinite(weight).all())


def _checked_config(path: Path, header: object) -> GHNConfig:
    if not isinstance(header, dict) or header.get("kind") != "ghn":
        raise ArchrepError(f"{path}: a safetensors file, but not a GHN checkpoint of archrep (no 'archrep' metadata).")
    if header.get("format") != FORMAT:
        raise ArchrepError(
            f"{path}: checkpoint format {reprlib.repr(header.get('format'))}; this archrep reads format {FORMAT}. "
            "Use the archrep version that wrote it, or train anew."
        )
    try:
        config = GHNConfig(**header["config"])
    except (TypeError, KeyError, ArchrepError) as error:
        raise ArchrepError(f"{path}: the checkpoint's config is not a GHN config ({error}).") from error
    if header.get("primitives") != list(VOCABULARIES[config.vocabulary]):
        raise ArchrepError(f"{path}: the checkpoint uses other primitives than this archrep; it cannot be used.")
    return config
