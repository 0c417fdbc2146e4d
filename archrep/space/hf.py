"""Architectures of the transformers library: `transformers:CONFIG`, without weights.

CONFIG is a configuration class (`transformers:BertConfig`), a model type (`transformers:bert`) or a JSON file with a
`model_type` (`transformers:path/config.json`). The network is the base model that the configuration belongs to.

A JSON file may come from anyone. The library would fetch models, configurations and kernels that it names, so names
that lead elsewhere are refused, and no socket is made while a configuration is read and its network built.
"""

import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from math import prod
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
from archrep.space.own import failing
from archrep.space.zoo import import_extra, import_torchvision

TOKENS = 16
MOST_VALUES = 10**8  # of one input; an image of 5,000 × 5,000 pixels has as many
# Keys of a configuration, and the largest number that one may have: of modules, of other things, of any kind.
LARGEST = (
    (re.compile(r"(layer|depth|block|stage|level)s?$"), 2000),
    (re.compile(r"^(num|n)_"), 10**6),
    (re.compile(""), 10**8),
)
# Keys of what the library would look for in its hub, or in a file, and of the arguments that it passes on.
LOOKED_UP = re.compile(r"(^|_)(backbone|architecture)$|implementation|kernel|args$")


def transformers_networks(space: str, rest: str) -> Iterable[Architecture]:
    """The architecture of a configuration.

    Raises:
        ArchrepError: if transformers is missing, or for an unknown or broken configuration.
    """
    library = import_transformers()
    config = _config(library, rest)

    def build() -> nn.Module:
        try:
            with _offline():
                return library.AutoModel.from_config(config)
        except Exception as error:
            raise CaptureError(f"The library cannot build it ({first_line(error)}).") from error

    def graph(vocabulary: str) -> ArchGraph:
        with failing("The library cannot build it"):
            with torch.device("meta"), torch.random.fork_rng(devices=[]):
                network = build()
            inputs = example_inputs(network)
        with _offline():
            return capture(network, example_inputs=inputs, vocabulary=vocabulary)

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
            _check(content)
            with _offline():
                return library.AutoConfig.for_model(content.pop("model_type"), **content)
        if name.endswith("Config") and hasattr(library, name):
            return getattr(library, name)()
    except Exception as error:
        raise ArchrepError(f"{name}: not a configuration of transformers ({first_line(error)}).") from error
    types = library.models.auto.configuration_auto.CONFIG_MAPPING_NAMES
    lookup(types, name, "transformers model type")
    return library.AutoConfig.for_model(name)


def _check(value: Any, key: str = "", looked_up: bool = False) -> None:
    """Raises ValueError for a number that no network has, or a name that leads into the hub or to a file."""
    looked_up = looked_up or LOOKED_UP.search(key) is not None
    if isinstance(value, dict):
        for name, part in value.items():
            _check(part, name, looked_up)
    elif isinstance(value, list):
        for part in value:
            _check(part, key, looked_up)
    elif isinstance(value, int):
        most = next(most for keys, most in LARGEST if keys.search(key))
        if abs(value) > most:
            raise ValueError(f"{key:.40} is {value!s:.20}, not up to {most}")
    elif isinstance(value, str) and ("checkpoint" in key or (looked_up and re.search("[:/]", value))):
        raise ValueError(f"{key:.40} is {value!r:.60}, which lies elsewhere; name one of the library's own")


_here = threading.local()


@contextmanager
def _offline() -> Iterator[None]:
    """This thread makes no socket inside: any use of one is a CaptureError."""
    _watch_sockets()
    before = getattr(_here, "offline", False)
    _here.offline = True
    try:
        yield
    finally:
        _here.offline = before


@cache  # such a hook stays as long as the process
def _watch_sockets() -> None:
    def watch(event: str, arguments: tuple) -> None:
        if event.startswith("socket.") and getattr(_here, "offline", False):
            raise CaptureError("The library asks the network, which archrep does not let it")

    sys.addaudithook(watch)


def example_inputs(network: nn.Module) -> dict[str, Tensor]:
    """What a base model of transformers is called with: token ids, an image or sound, by its own main input.

    Raises:
        CaptureError: if it is larger than any image or sound.
    """
    config: Any = network.config
    ids = torch.zeros(1, TOKENS, dtype=torch.int64)
    kinds = {
        "input_ids": ids,
        "decoder_input_ids": ids,
        "pixel_values": _zeros(getattr(config, "num_channels", 3), *_image_size(config)),
        "input_features": _zeros(
            getattr(config, "num_mel_bins", 80), 2 * getattr(config, "max_source_positions", 1500)
        ),
        "input_values": _zeros(16_000),
    }
    main = str(network.main_input_name)
    wanted = [main]
    if main == "input_ids" and (hasattr(config, "vision_config") or hasattr(config, "image_size")):
        wanted.append("pixel_values")
    if getattr(config, "is_encoder_decoder", False) and main in ("input_ids", "input_features"):
        wanted.append("decoder_input_ids")
    return {name: kinds.get(name, ids) for name in wanted}


def _zeros(*shape: int) -> Tensor:
    """(1, …), one zero in memory."""
    if prod(shape) > MOST_VALUES:
        raise CaptureError(f"It takes inputs of {'×'.join(map(str, shape))}, more than {MOST_VALUES:,} values.")
    return torch.zeros(1).expand(1, *shape)


def _image_size(config: Any) -> tuple[int, int]:
    for part in (config, getattr(config, "vision_config", None)):
        size = getattr(part, "image_size", None)
        if size is not None:
            return (size, size) if isinstance(size, int) else tuple(size)
    return (224, 224)
