"""archrep: turns neural-network architectures into vectors and tells what those vectors know.

Public names load when first used, so that `import archrep` is fast.
"""

from importlib import import_module

_PUBLIC = {
    "ArchGraph": "archrep.graph",
    "Architecture": "archrep.space",
    "ArchrepError": "archrep.errors",
    "GHN": "archrep.ghn",
    "GHNConfig": "archrep.ghn",
    "architectures": "archrep.space",
    "capture": "archrep.graph.capture",
    "load_images": "archrep.data",
    "predict_parameters": "archrep.ghn",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'archrep' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
