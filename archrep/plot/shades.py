"""How a column becomes colours, the same in pictures and on the page."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn as sns

GREY = "#c8c8c8"  # what has no value, or no class of its own
PALETTE = tuple(shade for shade in sns.color_palette("colorblind").as_hex() if shade != "#949494")  # grey is taken
NO_VALUE = "no value"


@dataclass(frozen=True)
class Class:
    """Rows that share a colour; `label` is what a legend calls them."""

    label: str
    color: str
    count: int


def is_numeric(values: pd.Series) -> bool:
    """Whether magnitude colours the column; anything else is coloured by class, truth values too."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def spans_magnitudes(values: np.ndarray) -> bool:
    """Whether a logarithmic scale tells the finite values (n,) apart better than a linear one."""
    finite = values[np.isfinite(values)]
    return bool(len(finite) and finite.min() > 0 and finite.max() > 30 * finite.min())


def as_text(values: pd.Series) -> pd.Series:
    """Values as they are shown; missing ones are called so."""
    return values.astype(object).where(values.notna(), NO_VALUE).astype(str)


def classify(values: pd.Series) -> tuple[list[Class], np.ndarray]:
    """Classes of a column, at most ten: of more, the eight most frequent ones have colours and the others are grey.

    Returns:
        The classes by name, grey ones last, and the position (n,) of every row's class among them.
    """
    text = as_text(values)
    counts = text.value_counts()  # the most frequent ones first
    own = counts.index.drop(NO_VALUE, errors="ignore")
    own = sorted(own if len(own) <= len(PALETTE) else own[: len(PALETTE) - 1])
    classes = [Class(name, shade, int(counts[name])) for name, shade in zip(own, PALETTE, strict=False)]
    rest = counts.drop([*own, NO_VALUE], errors="ignore")
    places = {name: i for i, name in enumerate(own)}
    if len(rest):
        places |= dict.fromkeys(rest.index, len(classes))
        classes.append(Class(f"{len(rest):,} others", GREY, int(rest.sum())))
    if NO_VALUE in counts:
        places[NO_VALUE] = len(classes)
        classes.append(Class(NO_VALUE, "#e4e4e4" if len(rest) else GREY, int(counts[NO_VALUE])))
    return classes, text.map(places).to_numpy(np.uint8)
