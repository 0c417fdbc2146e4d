"""A training run in a folder: config, metrics, resume state and the best checkpoint.

config.json      resolved configuration, data source and provenance
metrics.jsonl    one line per validation
state.pt         resume state (plain tensors and numbers, read with weights_only)
best.safetensors the GHN with the highest validation accuracy
last.safetensors the GHN after the last step
init.safetensors the GHN that it started from, where it was given one
curve.*          a figure of the metrics (archrep train)

Under torchrun all processes read the folder, which they share, and the first one writes it.
"""

import dataclasses
import io
import json
import math
import pickle
import reprlib
import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch

from archrep.data.images import ImageSet
from archrep.errors import ArchrepError, first_line
from archrep.files import alone, append, atomic, file_digest, from_json, is_number, provenance, to_json
from archrep.ghn import GHN, GHNConfig
from archrep.space.deepnets import Generated
from archrep.torch_files import load_plain
from archrep.train.config import TrainConfig
from archrep.train.evaluate import evaluate
from archrep.train.group import Group
from archrep.train.loop import StepResult, Trainer
from archrep.train.steps import Steps

CONFIG, METRICS, STATE = "config.json", "metrics.jsonl", "state.pt"
BEST, LAST, INIT = "best.safetensors", "last.safetensors", "init.safetensors"

THREADS = 1024  # most of a process; OpenMP ends a process that asks for more than the system gives
PATIENCE = 100  # steps in a row without a finite loss after which a run stops

Progress = Callable[[Trainer, StepResult], None]


def create(
    config: TrainConfig,
    data: str,
    images: ImageSet,
    folder: Path,
    threads: int | None = None,
    init: Path | None = None,
) -> None:
    """Creates the folder of a new run; `continue_run` does the work.

    Args:
        data: where the images come from, see `load_images`.
        init: checkpoint to start from, which is copied; default: random weights.

    Raises:
        ArchrepError: if the folder exists, or the configuration fits neither the images nor any architectures nor
            the checkpoint, or there are too many threads.
    """
    if folder.exists() and (not folder.is_dir() or any(p.name[0] != "." and p.name != INIT for p in folder.iterdir())):
        raise ArchrepError(
            f"{folder} exists; continue it with `archrep train --resume {folder}`, or choose another --out."
        )
    if threads is not None and not 1 <= threads <= THREADS:
        raise ArchrepError(f"threads must be within 1 … {THREADS}; got {threads}.")
    if config.ghn.num_classes != images.num_classes:
        raise ArchrepError(f"The GHN predicts {config.ghn.num_classes} classes, {data} has {images.num_classes}.")
    Steps(config, images.train, Group())[0]  # raises what the first step would
    start = {} if init is None else {"init": init.name, "init_digest": file_digest(init)}
    if init is not None:
        _matching(init, config.ghn).save(folder / INIT, force=True)
    record = {
        "train": dataclasses.asdict(config),
        "data": _found_again(data),
        "threads": threads or torch.get_num_threads(),
        "provenance": provenance(seed=config.seed) | start,
    }
    with atomic(folder / CONFIG) as temporary:  # which another process may have started by now
        temporary.write_text(to_json(record))


def _matching(path: Path, config: GHNConfig) -> GHN:
    """The GHN of a checkpoint, if it is of that configuration.

    Raises:
        ArchrepError: if it is not.
    """
    ghn = GHN.load(path)
    ours, wanted = dataclasses.asdict(ghn.config), dataclasses.asdict(config)
    other = [name for name in wanted if ours[name] != wanted[name]]
    if other:
        differences = ", ".join(f"{name} {ours[name]} instead of {wanted[name]}" for name in other)
        raise ArchrepError(f"{path}: a GHN with {differences}. Choose a --preset and options to match.")
    return ghn


def _found_again(data: str) -> str:
    """A source of images that can be found from any folder."""
    return data if data in ("cifar10", "digits") else str(Path(data).resolve())


def is_run_of(folder: Path, config: TrainConfig, data: str) -> bool:
    """Whether a folder holds a run of this configuration on these images."""
    try:
        found, record = read_config(folder)
    except ArchrepError:
        return False
    return found == config and record["data"] == _found_again(data)


def read_config(folder: Path) -> tuple[TrainConfig, dict]:
    """Configuration and full record of the run in `folder`.

    Raises:
        ArchrepError: if it holds no run, or its configuration is none.
    """
    try:
        record = from_json((folder / CONFIG).read_text())
        fields = record["train"]
        config = TrainConfig(**{**fields, "ghn": GHNConfig(**fields["ghn"])})
        for name, kind in (("data", str), ("threads", int), ("provenance", dict)):
            if not isinstance(record[name], kind):
                raise ValueError(f"{name} must be of type {kind.__name__}; got {reprlib.repr(record[name])}")
        if not 1 <= record["threads"] <= THREADS:
            raise ValueError(f"threads must be within 1 … {THREADS}; got {reprlib.repr(record['threads'])}")
        return config, {name: record[name] for name in ("train", "data", "threads", "provenance")}
    except ArchrepError as error:
        raise ArchrepError(f"{folder / CONFIG}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchrepError(f"{folder}: not the folder of a training run ({first_line(error)}).") from error


def continue_run(
    folder: Path,
    images: ImageSet,
    progress: Progress | None = None,
    group: Group | None = None,
    time_limit: float = math.inf,
) -> bool:
    """Trains from the last save, or from the start, to the end.

    Args:
        images: the image set of the run.
        progress: called after every step.
        group: the processes that train together.
        time_limit: seconds after which the run is saved and left, to be continued.

    Returns:
        Whether it has come to the end.

    Raises:
        ArchrepError: if the folder holds no run, its state is damaged, or losses are no longer finite.
    """
    group = group or Group()
    read_config(folder)
    with alone(folder / STATE) if group.leads else nullcontext():
        return _continue_run(folder, images, progress, group, time_limit)


def _continue_run(folder: Path, images: ImageSet, progress: Progress | None, group: Group, time_limit: float) -> bool:
    config, record = read_config(folder)
    torch.set_num_threads(record["threads"])
    began = time.monotonic()
    trainer = Trainer(config, images.train, group)
    run = _Run(folder, record, images, trainer, began)
    run.restore()
    for result in trainer.run():
        run.recent.append(result)
        if progress:
            progress(trainer, result)
        run.without_loss = 0 if result.loss == result.loss else run.without_loss + 1
        if run.without_loss >= PATIENCE:
            raise ArchrepError(
                f"{folder}, step {trainer.step}: no finite loss in {PATIENCE} steps in a row. "
                "Start a run with a lower --lr, or one without --amp."
            )
        at_end = trainer.step == config.steps
        if at_end or trainer.step % config.val_every == 0:
            run.validate()
            run.save()
        elif run.due():
            run.save()
        limited = time_limit < math.inf and not at_end
        if limited and any(trainer.group.gather(time.monotonic() - began > time_limit)):
            run.save()
            return False
    if trainer.group.leads:
        trainer.ghn.save(folder / LAST, force=True)
    return True


class _Run:
    """The files of a run, its clock, and what has happened since the last validation."""

    def __init__(self, folder: Path, record: dict, images: ImageSet, trainer: Trainer, began: float) -> None:
        self.folder, self.record, self.images, self.trainer = folder, record, images, trainer
        self.began = self.saved = began
        self.best, self.earlier = -1.0, 0.0
        self.recent: list[StepResult] = []
        self.without_loss = 0  # steps in a row

    @property
    def seconds(self) -> float:
        """Wall time of all its parts."""
        return self.earlier + time.monotonic() - self.began

    def due(self) -> bool:
        """Whether it is time to save."""
        return self.trainer.group.leads and time.monotonic() - self.saved > self.trainer.config.save_every

    def restore(self) -> None:
        """Puts the trainer where the last save was; what a kill has left behind goes."""
        group = self.trainer.group
        if group.leads:
            for name in map(Path, (CONFIG, METRICS, STATE, BEST, LAST)):
                for left_by_a_kill in self.folder.glob(f".{name.stem}-*{name.suffix}"):
                    left_by_a_kill.unlink()  # those that this run will not write again, too
        group.gather(None)  # no one reads before that
        state = _load_state(self.folder / STATE, self.trainer)
        if not state and (self.folder / INIT).exists():
            self.trainer.ghn.load_state_dict(GHN.load(self.folder / INIT).state_dict())
        if state:
            self.best, self.earlier, self.without_loss = state["best"], state["seconds"], state["without_loss"]
            self.recent = state["recent"]
        if group.leads:
            _truncate_metrics(self.folder, self.trainer.step)

    def validate(self) -> None:
        """Accuracy of predicted parameters on architectures of the val split; writes a line and the best GHN."""
        trainer, config = self.trainer, self.trainer.config
        group = trainer.group
        split = Generated(config.space, "val")
        mine = [split.architecture(i) for i in range(group.rank, config.val_archs, group.size)]
        scores = [p.accuracy for p in evaluate(trainer.ghn.eval(), mine, self.images.val.subset(config.val_images))]
        trainer.ghn.train()
        everyone = group.gather((scores, peak_memory(), peak_gpu_memory(trainer.device)))
        line = _summary(trainer, self.recent) | {
            "val_accuracy": sum(sum(scores) for scores, _, _ in everyone) / config.val_archs,
            "seconds": self.seconds,
            "peak_gb": max(peak for _, peak, _ in everyone) / 1e9,
            "peak_gpu_gb": max(peak for _, _, peak in everyone) / 1e9,
        }
        self.recent = []
        trainer.ghn.provenance = self._provenance(line)
        if group.leads:
            _append(self.folder / METRICS, line)
            if line["val_accuracy"] > self.best:
                trainer.ghn.save(self.folder / BEST, force=True)
        self.best = max(self.best, line["val_accuracy"])

    def _provenance(self, line: dict) -> dict:
        """What a checkpoint says about itself."""
        return {
            **self.record["provenance"],
            "train": self.record["train"],
            "data": self.images.name,
            "data_digest": self.images.digest,
            "processes": self.trainer.group.size,
            "step": line["step"],
            "seconds": round(line["seconds"]),
            "val_accuracy": line["val_accuracy"],
        }

    def save(self) -> None:
        """Writes the resume state."""
        self.saved = time.monotonic()
        if not self.trainer.group.leads:
            return
        recent = [dataclasses.astuple(result) for result in self.recent]
        with atomic(self.folder / STATE, force=True) as temporary:
            own = {"best": self.best, "seconds": self.seconds, "recent": recent, "without_loss": self.without_loss}
            torch.save(self.trainer.state() | own, temporary)


def peak_memory() -> int:
    """Most bytes of main memory that this process has had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def peak_gpu_memory(device: torch.device) -> int:
    """Most bytes of tensors that this process has had on a GPU so far; 0 without one."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _append(path: Path, line: dict) -> None:
    try:
        append(path, [json.dumps(line) + "\n"])
    except OSError as error:
        raise ArchrepError(f"Cannot write {path}: {error.strerror or error}. What was saved is kept.") from error


def _summary(trainer: Trainer, recent: list[StepResult]) -> dict:
    """Training figures since the last validation, over the steps with a finite loss; null where there is none."""
    finite = [r for r in recent if r.loss == r.loss]
    return {
        "step": trainer.step,
        "lr": trainer.config.lr_at(trainer.step - 1),
        "loss": sum(r.loss for r in finite) / len(finite) if finite else None,
        "accuracy": sum(r.accuracy for r in finite) / len(finite) if finite else None,
        "skipped": sum(r.skipped for r in recent),
    }


def _load_state(path: Path, trainer: Trainer) -> dict:
    """Restores the trainer; returns the rest of the state, nothing if there is none."""
    if not path.exists():
        return {}
    try:
        state = load_plain(path)
        trainer.load_state(state)
        own = {name: state[name] for name in ("best", "seconds", "recent", "without_loss")}
        recent = [StepResult(*result) for result in own["recent"]]
        if not all(map(is_number, [own["best"], own["seconds"], own["without_loss"], *(r.skipped for r in recent)])):
            raise ValueError("its position is not told in numbers")
        if not all(isinstance(value, float) for r in recent for value in (r.loss, r.accuracy)):  # NaN among them
            raise ValueError("its losses are no numbers")
        return own | {"recent": recent}
    except (RuntimeError, LookupError, AttributeError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise ArchrepError(
            f"{path}: damaged resume state ({first_line(error)}). Delete it to start this run over."
        ) from error


def read_metrics(folder: Path) -> list[dict]:
    """What a run has written at every validation, such as `step`, `loss`, `accuracy` and `val_accuracy` in %.

    Raises:
        ArchrepError: if a line is damaged; names it. A last line that a kill has cut off is left out.
    """
    path = folder / METRICS
    rows = []
    lines = io.BytesIO(path.read_bytes()).readlines()
    for number, line in enumerate(lines, 1):
        try:
            row = from_json(line)
            if not isinstance(row, dict):
                raise ValueError("not a JSON object")
            if wrong := [n for n in ("step", "seconds", "val_accuracy") if not is_number(row.get(n))]:
                raise ValueError(f"{wrong[0]} is {reprlib.repr(row.get(wrong[0]))}, not a number")
            if wrong := [n for n in ("loss", "accuracy") if row.get(n) is not None and not is_number(row[n])]:
                raise ValueError(f"{wrong[0]} is {reprlib.repr(row[wrong[0]])}, not a number")
            rows.append(row)
        except ValueError as error:
            if line.endswith(b"\n"):
                raise ArchrepError(
                    f"{path}, line {number}: damaged ({first_line(error)}). Repair or remove that line, or move the "
                    "file: the run goes on without it."
                ) from error
    return rows


def _truncate_metrics(folder: Path, step: int) -> None:
    """Drops lines from after the last save: those steps are run again."""
    if (folder / METRICS).exists():
        kept = [line for line in read_metrics(folder) if line["step"] <= step]
        with atomic(folder / METRICS, force=True) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
