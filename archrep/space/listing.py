"""What the spaces hold, without making any architecture."""

from dataclasses import dataclass

from archrep.errors import lookup
from archrep.space.deepnets import LIMITS
from archrep.space.specs import SPACES, split_sizes


@dataclass(frozen=True)
class About:
    """A space in a few words.

    Attributes:
        form: how its specs look; `…` stands for the name of the space.
        text: what it holds.
        size: number of architectures; None if that depends on files, packages or on you.
    """

    form: str
    text: str
    size: int | None = None


SPLITS = {preset: split_sizes(preset) for preset in LIMITS}

ABOUT: dict[str, About] = {
    "deepnets": About("…:SPLIT[:i|:i-j]", "DeepNets-1M at the paper's size", sum(SPLITS["deepnets"].values())),
    "deepnets-small": About("…:SPLIT[:i|:i-j]", "fewer cells and channels", sum(SPLITS["deepnets-small"].values())),
    "deepnets-official": About("…:PATH:SPLIT[:i|:i-j]", "the official DeepNets-1M files"),
    "torchvision": About("…:NAME[@cifar10]", "torchvision's classifiers"),
    "timm": About("…:NAME", "timm's models"),
    "transformers": About("…:CONFIG", "base models of transformers"),
    "nasbench101": About("…:ADJ_UPPER:OPS", "NAS-Bench-101 on CIFAR-10", 423_624),
    "nasbench201": About("…:ARCH_STR|all", "NAS-Bench-201 on CIFAR-10", 15_625),
    "nasbench201-cell": About("…:ARCH_STR|all", "a NAS-Bench-201 cell alone", 15_625),
    "nasbench_macro": About("…:DIGITS", "NAS-Bench-Macro, 8 layers", 3**8),
}
OWN = About("FILE.py:CALLABLE", "your own, or MODULE:CALLABLE")
EXAMPLES: dict[str, str] = {
    "deepnets-official": "deepnets-official:data/deepnets1m:test:0-9",
    "transformers": "transformers:BertConfig",
    "nasbench101": "nasbench101:111111:01",
    "nasbench201": "nasbench201:|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|",
    "nasbench201-cell": "nasbench201-cell:all",
    "nasbench_macro": "nasbench_macro:01210210",
}
NAMED = ("torchvision", "timm")  # spaces whose specs are names, or globs of them


def spaces() -> dict[str, About]:
    """All spaces, and networks of your own, by name."""
    return {name: ABOUT[name] for name in SPACES} | {"own": OWN}


def listing(space: str) -> dict[str, object]:
    """What a space holds: `space`, `spec`, `text`, `size` and, where it has them, `splits`, `names` or an `example`.

    Raises:
        ArchrepError: for an unknown space, or one whose package is missing.
    """
    about = lookup(spaces(), space, "space")
    spec = about.form.replace("…", space)
    facts: dict[str, object] = {"space": space, "spec": spec, "text": about.text, "size": about.size}
    if space in SPLITS:
        facts["splits"] = SPLITS[space]
    elif space in NAMED:
        names = [a.id.removeprefix(f"{space}:") for a in SPACES[space](space, "*")]
        facts |= {"size": len(names), "names": names}
    elif space in EXAMPLES:
        facts["example"] = EXAMPLES[space]
    return facts
