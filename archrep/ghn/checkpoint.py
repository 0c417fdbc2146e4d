"""GHN checkpoints: safetensors with a JSON header. Never pickle.

Metadata `archrep` of the file: format version, config, primitives and provenance.
"""

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

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
    if not path.is_file():
        raise ArchrepError(f"{path}: no such checkpoint. Train one with `archrep train`, or leave --checkpoint out.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("archrep", "null"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise ArchrepError(
            f"{path}: not a readable safetensors file ({error}); it may be truncated. Copy it again."
        ) from error
    config = _checked_config(path, header)
    ghn = GHN.untrained(config)
    ghn.provenance = dict(header.get("provenance") or {})
    try:
        ghn.load_state_dict(weights)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise ArchrepError(f"{path}: weights do not fit the checkpoint's own config ({detail}).") from error
    broken = next((name for name, value in weights.items() if not torch.isfinite(value).all()), None)
    if broken:
        raise ArchrepError(f"{path}: weight {broken!r} has NaN or infinite values; the checkpoint is damaged.")
    return ghn


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
    except (TypeError, KeyError) as error:
        raise ArchrepError(f"{path}: the checkpoint's config is not a GHN config ({error}).") from error
