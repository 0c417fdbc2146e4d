"""A fitted probe on disk: the models by skops, everything else as JSON. Nothing in it is a pickle."""

import json
import reprlib
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from archrep.data.targets import Target
from archrep.errors import ArchrepError, first_line
from archrep.files import from_json, is_packed
from archrep.probe.conformal import intervals, radius
from archrep.probe.evaluation import Work
from archrep.probe.models import restored, stored
from archrep.probe.select import mean_of, select
from archrep.probe.splits import numbered
from archrep.probe.transform import TRANSFORMS, Transform

MODELS, FACTS, FORMAT = "probe.skops", "probe.json", 2
# scikit-learn's own types that skops does not know: kernels, and the nodes of trees.
TRUSTED = (
    *(
        f"sklearn.gaussian_process.kernels.{name}"
        for name in (
            *("ConstantKernel", "DotProduct", "Matern", "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel"),
        )
    ),
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)


@dataclass(frozen=True)
class FittedProbe:
    """Averages the predictions of its members.

    Attributes:
        members: (encoder spec, probe) of each. models: their estimators, from (n, d) to the transformed target.
        residuals: (n,) out-of-fold, of the transformed training labels. groups: (n,) numbers.
        facts: what it was trained on. name: in errors, such as the folder that it was read from.
    """

    target: Target
    members: Sequence[tuple[str, str]]
    models: Sequence[Any]
    transform: Transform
    residuals: np.ndarray
    groups: np.ndarray
    facts: dict
    name: str = "The probe"

    @property
    def encoders(self) -> list[str]:
        """The encoder specs that predicting needs."""
        return list(dict.fromkeys(spec for spec, _ in self.members))

    def predict(self, encodings: Mapping[str, np.ndarray], level: float = 0.9) -> np.ndarray:
        """(n, 3): prediction, lower and upper end of its interval, in the target's unit.

        Args:
            encodings: encoder spec → (n, d). level: of the intervals, 0 … 1.

        Raises:
            ArchrepError: if an encoding has another width than in training, or a prediction is no finite number.
        """
        with np.errstate(all="ignore"):  # of numbers too large, the result says it
            values = self._values(encodings, level)
        odd = ~np.isfinite(values[:, 0]) | np.isnan(values).any(axis=1)
        if odd.any():
            raise ArchrepError(
                f"{self.name} gives no finite number for {odd.sum():,} of {len(odd):,} architectures; fit it again, "
                "and see that the columns it reads are of the kind it was trained on."
            )
        return values

    def _values(self, encodings: Mapping[str, np.ndarray], level: float) -> np.ndarray:
        """As `predict`, whatever numbers it gives."""
        predictions = []
        for (spec, _), model in zip(self.members, self.models, strict=True):
            wanted, got = model.n_features_in_, encodings[spec].shape[1]
            if wanted != got:
                raise ArchrepError(
                    f"{self.name} was trained on {wanted} columns of {spec!r}, these architectures have {got}. "
                    "Predict architectures of the space that the probe was trained on."
                )
            try:
                predictions.append(model.predict(encodings[spec]))
            except ValueError as error:  # scikit-learn's, of numbers that grew too large on the way
                raise ArchrepError(f"{self.name} cannot predict these architectures: {first_line(error)}.") from error
        predicted = np.mean(predictions, axis=0)
        low, high = intervals(predicted, radius(self.residuals, self.groups, level), self.transform)
        return np.stack([self.transform.inverse(predicted), low, high], axis=1)


def fit_final(work: Work, selectable: Sequence[str], target: Target, facts: dict) -> FittedProbe:
    """The probe fitted on all labels: encoders and probes are chosen as inside every split of the evaluation."""
    transform = TRANSFORMS[work.transform](work.y)
    t = transform.forward(work.y)
    members = select({spec: work.encodings[spec] for spec in selectable}, t, work.groups, work.seed, work.probe)
    return FittedProbe(
        target,
        [(m.encoder, m.probe) for m in members],
        [m.model for m in members],
        transform,
        t - mean_of(members, "out_of_fold"),
        numbered(work.groups),
        facts,
    )


def save_probe(probe: FittedProbe, folder: Path) -> None:
    """Writes `probe.skops` and `probe.json` into an existing folder."""
    import skops.io

    facts = {
        "format": FORMAT,
        "kind": "probe",
        "target": asdict(probe.target),
        "members": [list(m) for m in probe.members],
        "transform": {"raw": probe.transform.raw.tolist(), "transformed": probe.transform.transformed.tolist()},
        "residuals": probe.residuals.tolist(),
        "groups": probe.groups.tolist(),
        "facts": probe.facts,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skops reads deprecated attributes while it looks around
        skops.io.dump([stored(model) for model in probe.models], folder / MODELS)
    facts["digest"] = digest(facts, folder / MODELS)
    with (folder / FACTS).open("w") as file:  # number by number: there may be millions
        json.dump(facts, file, indent=1, ensure_ascii=False)


def digest(facts: dict, models: Path) -> str:
    """Of everything that a saved probe says, so that no part of it is changed or exchanged unnoticed."""
    plain = json.dumps(json.loads(json.dumps(facts)), sort_keys=True)
    return sha256(plain.encode() + models.read_bytes()).hexdigest()


def load_probe(folder: Path) -> FittedProbe:
    """Reads a probe that `archrep probe` wrote.

    Raises:
        ArchrepError: if the folder holds none, it is damaged or was changed since, it holds types that are not
            scikit-learn's, or its facts or models are none that `archrep probe` writes.
    """
    folder = Path(folder)
    for name in (FACTS, MODELS):
        if not (folder / name).is_file():
            raise ArchrepError(f"{folder}: no {name}; name a folder that `archrep probe --out` wrote.")
    try:
        facts = from_json((folder / FACTS).read_text())
        if facts.pop("digest", None) != digest(facts, folder / MODELS) or facts["format"] != FORMAT:
            raise ArchrepError(
                f"{folder}: {FACTS} and {MODELS} are not as one `archrep probe` of this version wrote them; fit the "
                "probe again."
            )
        probe = FittedProbe(
            _target(facts["target"]),
            _members(facts["members"]),
            _models(folder / MODELS),
            _transform(facts["transform"]),
            *_residuals(facts["residuals"], facts["groups"]),
            _origin(facts["facts"]),
            str(folder),
        )
        rows = zip(probe.members, probe.models, strict=True)
        probe.predict({spec: np.zeros((1, model.n_features_in_)) for (spec, _), model in rows})
        return probe
    except ArchrepError:
        raise
    except Exception as error:  # a damaged file fails anywhere inside skops, scikit-learn and json
        raise ArchrepError(f"{folder}: not a readable probe ({first_line(error)}); fit it again.") from error


def _models(path: Path) -> list[Any]:
    """The estimators of a file, made again."""
    import skops.io

    _refuse_unfolding(path)
    foreign = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
    if foreign:
        raise ArchrepError(f"{path}: holds {foreign[0]}, which no probe of archrep has; not loaded.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, which repeat what the file says of its version
        return [restored(model) for model in skops.io.load(path, trusted=list(TRUSTED))]


def _refuse_unfolding(path: Path) -> None:
    """Refuses an archive that takes more memory than it has bytes: compressed, or with arrays that are read often."""
    with zipfile.ZipFile(path) as archive:
        if is_packed(archive, path):
            raise ArchrepError(f"{path}: it is compressed, which archrep does not do; fit the probe again.")
        nodes = [from_json(archive.read("schema.json"))]
    while nodes:
        node = nodes.pop()
        file = node.get("file") if isinstance(node, dict) else None
        if isinstance(file, str) and not (node["__id__"] and file == f"{node['__id__']}.npy"):  # read once for each id
            raise ArchrepError(f"{path}: the array {file[:60]!r} is not named by its id; fit the probe again.")
        nodes.extend(node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())


def _text(value: object, what: str) -> str:
    """Text that a terminal shows as it is.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{what} is {reprlib.repr(value)}, no printable text")
    return value


def _target(given: dict) -> Target:
    target = Target(**given)
    for name in ("name", "unit", "meaning"):
        _text(getattr(target, name), f"the target's {name}")
    if not target.name or not isinstance(target.higher_is_better, bool):
        raise ValueError("a target needs a name, and a direction that is true or false")
    return target


def _members(given: list) -> list[tuple[str, str]]:
    members = [(_text(spec, "an encoder"), _text(name, "a probe's kind")) for spec, name in given]
    if not members:
        raise ValueError("a probe without members")
    return members


def _numbers(given: object, what: str, kinds: str = "iuf") -> np.ndarray:
    """(n,) finite numbers of a list; n ≥ 1.

    Raises:
        ValueError: if it is none.
    """
    values = np.array(given if isinstance(given, list) else None)
    if values.ndim != 1 or not len(values) or values.dtype.kind not in kinds or not np.isfinite(values).all():
        raise ValueError(f"{what} are no list of finite numbers")
    return values


def _transform(given: dict) -> Transform:
    raw, transformed = (_numbers(given[name], f"the transform's knots {name!r}") for name in ("raw", "transformed"))
    if len(raw) < 2 or len(raw) != len(transformed) or not ((np.diff(raw) > 0) & (np.diff(transformed) > 0)).all():
        raise ValueError("the transform's knots are not two or more pairs of increasing numbers")
    return Transform(raw.astype(float), transformed.astype(float))


def _residuals(residuals: list, groups: list) -> tuple[np.ndarray, np.ndarray]:
    of, group = _numbers(residuals, "the residuals").astype(float), _numbers(groups, "the groups", "iu")
    if len(of) != len(group):
        raise ValueError(f"{len(of):,} residuals of {len(group):,} architectures")
    return of, group


def _origin(given: dict) -> dict:
    """What is read of it later: the seed, and the checkpoint with its digest."""
    seed, provenance = given.get("seed", 0), given.get("provenance", {})
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ValueError(f"the seed is {reprlib.repr(seed)}, no number from 0")
    for name in ("checkpoint", "checkpoint_digest"):
        if provenance.get(name) is not None:
            _text(provenance[name], name)
    return given
