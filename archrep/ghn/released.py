"""Import of GHN checkpoints released with the paper (`ghn2_cifar10.pt`, …): GHN-1, GHN-2 and MLP.

Such a file is a dictionary with `config`, `state_dict` and the position in training. It is read with
`weights_only=True`, so that it can execute nothing, and its configuration is taken as it stands there.

States, predicted tensors and logits equal those of the released code (tests/ghn/test_parity.py). It departs from
its own rules in four places, where archrep follows the rules instead:

- Input widths that are a multiple of 3 and do not divide the decoder's crash it, and so do kernels above 11 in
  wide layers: here the needed prefix is decoded, whatever its size (decoder.py).
- Tiling fails for tensors of rank 3: here any rank is tiled (`decoder.tile`).
- Attention is recognised by counting operations, which current torch breaks: here by structure (graph/recorder.py).
- Squeeze-and-excite is recognised by its place in a list, which loses some: here all are found, except in the
  official DeepNets-1M files, whose stored graphs are given as they are (space/official.py).
"""

import pickle
import reprlib
from pathlib import Path

from torch import Tensor

from archrep.errors import ArchrepError
from archrep.files import file_digest
from archrep.ghn.checkpoint import assemble, refuse_missing
from archrep.ghn.config import GHNConfig
from archrep.ghn.model import GHN
from archrep.torch_files import load_plain

CONFIG = {  # name there → name here
    "num_classes": "num_classes",
    "max_shape": "max_shape",
    "hid": "hidden",
    "hypernet": "gnn",
    "ve": "virtual_edges",
    "weight_norm": "normalize",
    "layernorm": "layer_norm",
}
HYPERNETS = {"gatedgnn": "gated", "mlp": "mlp"}
WEIGHTS = {  # how a name begins there → how it begins here
    "embed.": "encoder.primitive.",
    "shape_enc.embed_channel.": "encoder.channel.",
    "shape_enc.embed_spatial.": "encoder.kernel.",
    "gnn.mlp_ve.fc.": "gnn.mlp_ve.",
    "gnn.mlp.fc.": "gnn.mlp.",
    "gnn.gru.": "gnn.gru.",
    "gnn.fc.": "gnn.mlp.",
    "ln.": "norm.",
    "decoder.fc.0.": "tensors.spread.",
    "decoder.conv.0.": "tensors.widen.",
    "decoder.conv.2.": "tensors.channels.",
    "decoder.class_layer_predictor.1.": "tensors.classes.",
    "decoder_1d.fc.": "vectors.mlp.",
    "bias_class.1.": "vectors.classes.",
}


def load_released(path: Path) -> GHN:
    """Reads a checkpoint in the released format.

    Raises:
        ArchrepError: if the file is missing, damaged, holds anything but plain values and tensors, lacks part
            of its configuration, or its weights do not fit that configuration.
    """
    refuse_missing(path)
    content = _read(path)
    if not isinstance(content, dict) or not all(isinstance(content.get(k), dict) for k in ("config", "state_dict")):
        raise ArchrepError(f"{path}: not a released GHN checkpoint; that is a dictionary with 'config', 'state_dict'.")
    config = _config(path, content["config"])
    provenance = {"released_file": path.name, "digest": file_digest(path)}
    provenance |= {key: content[key] for key in ("epoch", "step") if isinstance(content.get(key), int)}
    return assemble(path, config, _weights(path, content["state_dict"]), provenance)


def _read(path: Path) -> object:
    """Plain values and tensors of a file that torch saved, or an error in our own words."""
    try:
        return load_plain(path)
    except (ValueError, pickle.UnpicklingError) as error:
        raise ArchrepError(
            f"{path}: not a checkpoint of plain values and tensors ({error}): it is damaged, or holds "
            "objects or code, which archrep does not read. Download it again."
        ) from error


def _config(path: Path, given: dict) -> GHNConfig:
    wanted = {*CONFIG, "decoder"}
    if given.keys() != wanted:
        wrong = ", ".join(sorted(str(key)[:40] for key in given.keys() ^ wanted)[:8])
        raise ArchrepError(
            f"{path}: the configuration of a released GHN has exactly {', '.join(sorted(wanted))}; "
            f"missing or unknown here: {wrong}."
        )
    decoder, hypernet = given["decoder"], given["hypernet"]
    if not isinstance(decoder, str) or decoder != "conv" or not isinstance(hypernet, str) or hypernet not in HYPERNETS:
        raise ArchrepError(
            f"{path}: decoder {reprlib.repr(decoder)} with hypernet {reprlib.repr(hypernet)}; archrep reads decoder "
            f"'conv' with hypernet {' or '.join(map(repr, HYPERNETS))}."
        )
    translated = {CONFIG[name]: value for name, value in given.items() if name in CONFIG}
    try:
        return GHNConfig(**translated | {"gnn": HYPERNETS[hypernet]})
    except ArchrepError as error:
        raise ArchrepError(f"{path}: {error}") from error


def _weights(path: Path, given: dict) -> dict[str, Tensor]:
    """Weights under their names here; 1×1 convolutions are linear layers."""
    weights = {}
    for name, value in given.items():
        prefix = next((p for p in WEIGHTS if str(name).startswith(p)), None)
        if prefix is None or not isinstance(value, Tensor) or value.is_nested:
            raise ArchrepError(f"{path}: {str(name)[:60]!r} is not a weight of a released GHN.")
        if value.dim() == 4 and value.shape[2:] == (1, 1):
            value = value[:, :, 0, 0]
        weights[WEIGHTS[prefix] + name.removeprefix(prefix)] = value
    return weights
