"""GHN checkpoints: safetensors with a JSON header. Never pickle.

Metadata `archrep` of the file: format version, config, primitives and provenance. Released `.pt` files
are read by released.py.
"""

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from archrep.errors import ArchrepError
from archrep.files import atomic
from archrep.ghn.config import GHNConfig
from archrep.ghn.model import GHN
from archrep.graph.primitives import PRIMITIVES

FORMAT = 1


def save_ghn(ghn: GHN, path: Path, force: bool = False) -> None:
    """Writes weights and description to `path`, atomically."""
    header = {
        "format": FORMAT,
        "kind": "ghn",
        "config": dataclasses.asdict(ghn.config),
        "primitives": PRIMITIVES,
        "provenance": ghn.provenance,
    }
    weights = {name: value.detach().cpu().contiguous() for name, value in ghn.state_dict().items()}
    with atomic(path, force) as temporary:
        save_file(weights, temporary, metadata={"archrep": json.dumps(header)})


def load_ghn(path: Path) -> GHN:
    """Reads and checks a checkpoint; see `GHN.load`."""
    refuse_missing(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("archrep", "null"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise ArchrepError(
            f"{path}: not a readable safetensors file ({error}); it may be truncated. Copy it again."
        ) from error
    return assemble(path, _checked_config(path, header), weights, header.get("provenance") or {})


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
    broken = next((n for n, v in weights.items() if not (v.is_floating_point() and torch.isfinite(v).all())), None)
    if broken:
        raise ArchrepError(f"{path}: weight {broken!r} is not of floats, or has NaN or infinite values.")
    try:
        ghn.load_state_dict({name: value.float().contiguous() for name, value in weights.items()}, assign=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise ArchrepError(f"{path}: weights do not fit the checkpoint's own config ({detail}).") from error
    return ghn.eval()


def _checked_config(path: Path, header: object) -> GHNConfig:
    if not isinstance(header, dict) or header.get("kind") != "ghn":
        raise ArchrepError(f"{path}: a safetensors file, but not a GHN checkpoint of archrep (no 'archrep' metadata).")
    if header.get("format") != FORMAT:
        raise ArchrepError(
            f"{path}: checkpoint format {header.get('format')!r}; this archrep reads format {FORMAT}. "
            "Use the archrep version that wrote it, or train anew."
        )
    if tuple(header.get("primitives", ())) != PRIMITIVES:
        raise ArchrepError(f"{path}: the checkpoint uses other primitives than this archrep; it cannot be used.")
    try:
        return GHNConfig(**header["config"])
    except (TypeError, KeyError, ArchrepError) as error:
        raise ArchrepError(f"{path}: the checkpoint's config is not a GHN config ({error}).") from error
