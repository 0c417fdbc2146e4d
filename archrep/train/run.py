"""A training run in a folder: config, metrics, resume state and the best checkpoint.

config.json      resolved configuration and data source
metrics.jsonl    one line per validation
state.pt         resume state (plain tensors and numbers, read with weights_only)
best.safetensors the GHN with the highest validation accuracy
last.safetensors the GHN after the last step
"""

import dataclasses
import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import torch

from archrep.data.images import ImageSet
from archrep.errors import ArchrepError, first_line
from archrep.files import atomic, provenance, to_json
from archrep.ghn.config import GHNConfig
from archrep.space.deepnets import Generated
from archrep.train.config import TrainConfig
from archrep.train.evaluate import evaluate
from archrep.train.loop import StepResult, Trainer, steps

CONFIG, METRICS, STATE, BEST, LAST = "config.json", "metrics.jsonl", "state.pt", "best.safetensors", "last.safetensors"

Progress = Callable[[Trainer, StepResult], None]


def create(config: TrainConfig, data: str, folder: Path, threads: int | None = None) -> None:
    """Creates the folder of a new run; `continue_run` does the work.

    Raises:
        ArchrepError: if the folder exists.
    """
    if folder.exists() and (not folder.is_dir() or any(not p.name.startswith(".") for p in folder.iterdir())):
        raise ArchrepError(
            f"{folder} exists; continue it with `archrep train --resume {folder}`, or choose another --out."
        )
    record = {
        "train": dataclasses.asdict(config),
        "data": data if data in ("cifar10", "digits") else str(Path(data).resolve()),
        "threads": threads or torch.get_num_threads(),
        "provenance": provenance(seed=config.seed),
    }
    with atomic(folder / CONFIG, force=True) as temporary:
        temporary.write_text(to_json(record))


def read_config(folder: Path) -> tuple[TrainConfig, dict]:
    """Configuration and full record of the run in `folder`.

    Raises:
        ArchrepError: if it holds no run.
    """
    try:
        record = json.loads((folder / CONFIG).read_text())
        fields = record["train"]
        return TrainConfig(**{**fields, "ghn": GHNConfig(**fields["ghn"])}), record
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchrepError(f"{folder}: not the folder of a training run ({type(error).__name__}: {error}).") from error


def continue_run(
    folder: Path, images: ImageSet, progress: Progress | None = None, device: torch.device = torch.device("cpu")
) -> Path:
    """Trains from the last save, or from the start, to the end; returns the best checkpoint.

    Args:
        images: the image set of the run.
        progress: called after every step.

    Raises:
        ArchrepError: if the folder holds no run, its state is damaged, or no loss is ever finite.
    """
    config, record = read_config(folder)
    torch.set_num_threads(record["threads"])
    trainer = Trainer(config, images.train, device)
    for name in map(Path, (CONFIG, METRICS, STATE, BEST, LAST)):
        for left_by_a_kill in folder.glob(f".{name.stem}-*{name.suffix}"):
            left_by_a_kill.unlink()
    best, seconds, recent = _load_state(folder / STATE, trainer)
    _truncate_metrics(folder / METRICS, trainer.step)
    val_archs = [*map(Generated(config.space, "val").architecture, range(config.val_archs))]
    val_images = images.val.subset(config.val_images)
    began = saved = time.monotonic()
    for result in steps(trainer):
        recent.append(result)
        if progress:
            progress(trainer, result)
        at_end = trainer.step == config.steps
        if trainer.step % config.val_every == 0 or at_end:
            line = _summary(trainer, recent)
            recent = []
            scores = [p.accuracy for p in evaluate(trainer.ghn.eval(), val_archs, val_images)]
            trainer.ghn.train()
            line |= {"val_accuracy": sum(scores) / len(scores), "seconds": seconds + time.monotonic() - began}
            with (folder / METRICS).open("a") as file:
                file.write(json.dumps(line) + "\n")
            _describe(trainer, record, images, line)
            if line["val_accuracy"] > best:
                best = line["val_accuracy"]
                trainer.ghn.save(folder / BEST, force=True)
        if at_end or trainer.step % config.val_every == 0 or time.monotonic() - saved > config.save_every:
            _save_state(folder / STATE, trainer, best, seconds + time.monotonic() - began, recent)
            saved = time.monotonic()
    trainer.ghn.save(folder / LAST, force=True)
    return folder / BEST


def _summary(trainer: Trainer, recent: list[StepResult]) -> dict:
    """Training figures since the last validation, over the steps with a finite loss."""
    finite = [r for r in recent if r.loss == r.loss]
    if not finite:
        raise ArchrepError(
            f"Step {trainer.step}: no finite loss in the last {len(recent)} steps; lower --lr and start again."
        )
    return {
        "step": trainer.step,
        "lr": trainer.config.lr_at(trainer.step - 1),
        "loss": sum(r.loss for r in finite) / len(finite),
        "accuracy": sum(r.accuracy for r in finite) / len(finite),
        "skipped": sum(r.skipped for r in recent),
    }


def _describe(trainer: Trainer, record: dict, images: ImageSet, line: dict) -> None:
    """Fills in what a checkpoint says about itself."""
    trainer.ghn.provenance = {
        **record["provenance"],
        "train": record["train"],
        "data": images.name,
        "data_digest": images.digest,
        "step": line["step"],
        "seconds": round(line["seconds"]),
        "val_accuracy": line["val_accuracy"],
    }


def _save_state(path: Path, trainer: Trainer, best: float, seconds: float, recent: list[StepResult]) -> None:
    since_validation = [dataclasses.astuple(result) for result in recent]
    with atomic(path, force=True) as temporary:
        torch.save({**trainer.state(), "best": best, "seconds": seconds, "recent": since_validation}, temporary)


def _load_state(path: Path, trainer: Trainer) -> tuple[float, float, list[StepResult]]:
    """Restores the trainer; returns the best validation accuracy, the seconds spent, and steps not yet summed up."""
    if not path.exists():
        return -1.0, 0.0, []
    try:
        state = torch.load(path, weights_only=True, map_location=trainer.device)
        trainer.load_state(state)
        return state["best"], state["seconds"], [StepResult(*result) for result in state["recent"]]
    except (RuntimeError, LookupError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise ArchrepError(
            f"{path}: damaged resume state ({first_line(error)}). Delete it to start this run over."
        ) from error


def _truncate_metrics(path: Path, step: int) -> None:
    """Drops lines from after the last save: those steps are run again."""
    if path.exists():
        lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        with atomic(path, force=True) as temporary:
            temporary.write_text("".join(line + "\n" for line in kept))
