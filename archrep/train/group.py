"""The processes that train one GHN together, as torchrun starts them (torch.distributed); usually just one."""

import os
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from archrep.errors import ArchrepError, first_line

T = TypeVar("T")

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # set by torchrun
TIMEOUT = timedelta(minutes=10)  # for the others to join, or to do their part


class Group:
    """This process among those of a run.

    Attributes:
        rank, size: number of this process, and how many there are. device: of this process.
    """

    def __init__(self, device: torch.device = torch.device("cpu"), rank: int = 0, size: int = 1) -> None:
        self.device, self.rank, self.size = device, rank, size

    @classmethod
    def join(cls, device: torch.device) -> "Group":
        """Joins the processes that torchrun has started; alone without it.

        Processes share out the GPUs of their machine. Where there are more processes than GPUs, several have the
        same one: small networks leave most of it idle. torchrun may start all of them anew after a failure; their
        number stays the same.

        Raises:
            ArchrepError: if the others cannot be reached.
        """
        if "RANK" not in os.environ:
            return cls(device)
        missing = [name for name in VARIABLES if name not in os.environ]
        if missing:
            raise ArchrepError(
                f"RANK is set, {', '.join(missing)} is not: start processes with torchrun, or unset RANK."
            )
        rank, size, local = (int(os.environ[name]) for name in VARIABLES[:3])
        shared = False
        if device.type == "cuda":
            gpus = torch.cuda.device_count()
            shared = int(os.environ["LOCAL_WORLD_SIZE"]) > gpus
            device = torch.device("cuda", local % gpus)
            torch.cuda.set_device(device)
        if not dist.is_initialized():
            backend = "nccl" if device.type == "cuda" and not shared else "gloo"  # nccl: one process a GPU
            try:
                store, _, _ = next(dist.rendezvous("env://", timeout=TIMEOUT))
                # A restart finds the addresses of the processes before it in the store: it gets a part of its own.
                store = dist.PrefixStore(f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
                dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
            except (RuntimeError, ValueError) as error:
                raise ArchrepError(f"Cannot join the processes of this run ({first_line(error)}).") from error
        return cls(device, rank, size)

    def leave(self) -> None:
        """Ends the connection to the others."""
        if self.size > 1:
            dist.destroy_process_group()

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def share(self, items: Sequence[T], costs: Sequence[float]) -> list[tuple[int, T]]:
        """This process's part of the items, with their positions: dearest first, each to who has least to do."""
        load, mine = [0.0] * self.size, []
        for i in sorted(range(len(items)), key=lambda i: -costs[i]):
            least = load.index(min(load))
            load[least] += costs[i]
            if least == self.rank:
                mine.append((i, items[i]))
        return sorted(mine, key=lambda pair: pair[0])

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replaces tensors of one dtype by their sums over all processes; the same bits everywhere."""
        tensors = list(tensors)
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values
