"""A fitted probe on disk: the models by skops, everything else as JSON. Nothing in it is a pickle."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from archrep.data.targets import Target
from archrep.errors import ArchrepError, first_line
from archrep.files import from_json
from archrep.probe.conformal import intervals, radius
from archrep.probe.evaluation import Work
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
        facts: what it was trained on.
    """

    target: Target
    members: Sequence[tuple[str, str]]
    models: Sequence[Any]
    transform: Transform
    residuals: np.ndarray
    groups: np.ndarray
    facts: dict

    @property
    def encoders(self) -> list[str]:
        """The encoder specs that predicting needs."""
        return list(dict.fromkeys(spec for spec, _ in self.members))

    def predict(self, encodings: Mapping[str, np.ndarray], level: float = 0.9) -> np.ndarray:
        """(n, 3): prediction, lower and upper end of its interval, in the target's unit.

        Args:
            encodings: encoder spec → (n, d). level: of the intervals, 0 … 1.

        Raises:
            ArchrepError: if an encoding has another width than in training.
        """
        predictions = []
        for (spec, _), model in zip(self.members, self.models, strict=True):
            wanted, got = model.n_features_in_, encodings[spec].shape[1]
            if wanted != got:
                raise ArchrepError(
                    f"The probe was trained on {wanted} columns of {spec!r}, these architectures have {got}. "
                    "Predict architectures of the space that the probe was trained on."
                )
            predictions.append(model.predict(encodings[spec]))
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
        skops.io.dump(list(probe.models), folder / MODELS)
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
        ArchrepError: if the folder holds none, it is damaged or was changed since, or it holds types that are not
            scikit-learn's.
    """
    import skops.io

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
        foreign = sorted(set(skops.io.get_untrusted_types(file=folder / MODELS)) - set(TRUSTED))
        if foreign:
            raise ArchrepError(f"{folder / MODELS}: holds {foreign[0]}, which no probe of archrep has; not loaded.")
        models = skops.io.load(folder / MODELS, trusted=list(TRUSTED))
        return FittedProbe(
            Target(**facts["target"]),
            [(spec, name) for spec, name in facts["members"]],
            models,
            Transform(np.array(facts["transform"]["raw"]), np.array(facts["transform"]["transformed"])),
            np.array(facts["residuals"]),
            np.array(facts["groups"]),
            facts["facts"],
        )
    except ArchrepError:
        raise
    except Exception as error:  # a damaged file fails anywhere inside skops and json
        raise ArchrepError(f"{folder}: not a readable probe ({first_line(error)}).") from error
