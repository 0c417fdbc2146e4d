"""Architectures of the transformers library: `transformers:CONFIG`, without weights.

CONFIG is a configuration class (`transformers:BertConfig`), a model type (`transformers:bert`) or a JSON file with a
`model_type` (`transformers:path/config.json`). The network is the base model that the configuration belongs to.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from archrep.errors import ArchrepError, CaptureError, first_line, lookup
from archrep.files import from_json
from archrep.graph.archgraph import ArchGraph
from archrep.graph.capture import capture
from archrep.space.architecture import Architecture
from archrep.space.zoo import import_extra, import_torchvision

TOKENS = 16


def transformers_networks(space: str, rest: str) -> Iterable[Architecture]:
    """The architecture of a configuration.

    Raises:
        ArchrepError: if transformers is missing, or for an unknown or broken configuration.
    """
    library = import_transformers()
    config = _config(library, rest)

    def build() -> nn.Module:
        try:
            return library.AutoModel.from_config(config)
        except Exception as error:
            raise CaptureError(f"The library cannot build it ({first_line(error)}).") from error

    def graph(vocabulary: str) -> ArchGraph:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            network = build()
        return capture(network, example_inputs=example_inputs(network), vocabulary=vocabulary)

    return [Architecture(f"{space}:{rest}", "transformers", "", graph, build, ())]


def import_transformers() -> ModuleType:
    """The module `transformers`.

    Raises:
        ArchrepError: if it is not installed.
    """
    with suppress(ArchrepError):  # it does without, but a broken torchvision would break its models
        import_torchvision()
    return import_extra("transformers", "text")


def _config(library: ModuleType, name: str) -> Any:
    try:
        if name.endswith(".json"):
            content = from_json(Path(name).read_text(encoding="utf-8"))
            return library.AutoConfig.for_model(content.pop("model_type"), **content)
        if name.endswith("Config") and hasattr(library, name):
            return getattr(library, name)()
    except Exception as error:
        raise ArchrepError(f"{name}: not a configuration of transformers ({first_line(error)}).") from error
    types = library.models.auto.configuration_auto.CONFIG_MAPPING_NAMES
    lookup(types, name, "transformers model type")
    return library.AutoConfig.for_model(name)


def example_inputs(network: nn.Module) -> dict[str, Tensor]:
    """What a base model of transformers is called with: token ids, an image or sound, by its own main input."""
    config: Any = network.config
    ids = torch.zeros(1, TOKENS, dtype=torch.int64)
    kinds = {
        "input_ids": ids,
        "decoder_input_ids": ids,
        "pixel_values": torch.zeros(1, getattr(config, "num_channels", 3), *_image_size(config)),
        "input_features": torch.zeros(
            1, getattr(config, "num_mel_bins", 80), 2 * getattr(config, "max_source_positions", 1500)
        ),
        "input_values": torch.zeros(1, 16_000),
    }
    main = str(network.main_input_name)
    wanted = [main]
    if main == "input_ids" and (hasattr(config, "vision_config") or hasattr(config, "image_size")):
        wanted.append("pixel_values")
    if getattr(config, "is_encoder_decoder", False) and main in ("input_ids", "input_features"):
        wanted.append("decoder_input_ids")
    return {name: kinds.get(name, ids) for name in wanted}


def _image_size(config: Any) -> tuple[int, int]:
    for part in (config, getattr(config, "vision_config", None)):
        size = getattr(part, "image_size", None)
        if size is not None:
            return (size, size) if isinstance(size, int) else tuple(size)
    return (224, 224)
