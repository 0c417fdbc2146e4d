"""`archrep predict` and `archrep convert`."""

from pathlib import Path
from typing import Annotated

import typer

from archrep.cli import completion, options


def predict(
    arch: Annotated[
        str, typer.Option(help="Architecture spec that names one architecture.", autocompletion=completion.spec)
    ],
    checkpoint: options.Checkpoint = None,
    out: Annotated[Path, typer.Option(help="State dict to write (safetensors).")] = Path("params.safetensors"),
    seed: options.Seed = 0,
    device: options.Device = "auto",
    threads: options.Threads = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Predict all parameters of an architecture with a GHN: a state dict that its network loads.

    Example: `archrep predict --arch deepnets:test:0 --out params.safetensors`

    Parameters that the GHN cannot predict keep their initialisation (`--seed`) and are listed.
    """
    from json import dumps

    from safetensors.torch import save_file
    from torch import Tensor

    from archrep.errors import ArchrepError
    from archrep.files import atomic, file_digest, provenance, refuse_existing, to_json
    from archrep.ghn import GHN, predict_parameters
    from archrep.seeding import seeded
    from archrep.shipped import CHECKPOINT, shipped

    refuse_existing(out, force)
    checkpoint = checkpoint or shipped(CHECKPOINT)
    ghn = GHN.load(checkpoint).to(options.torch_device(device, threads))
    architecture = options.select_one(arch, "predict")
    with seeded(seed):
        network = architecture.build()
    graph = architecture.graph_in(ghn.config.vocabulary)
    kept = predict_parameters(network, ghn, graph=graph)
    header = {
        "arch": architecture.id,
        "checkpoint_digest": file_digest(checkpoint),
        "kept": kept,
        "provenance": provenance(seed=seed),
    }
    state = network.state_dict()
    other = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if other:
        raise ArchrepError(f"{arch}: {other[0]!r} in its state dict is no tensor, so safetensors cannot hold it.")
    state = {name: value.contiguous().clone() for name, value in state.items()}  # shared ones stand alone
    with atomic(out, force) as temporary:
        save_file(state, temporary, metadata={"archrep": dumps(header)})
    if json:
        print(to_json({"arch": architecture.id, "params": graph.num_params, "kept": kept, "out": out}))
        return
    if kept:
        print(f"Not predicted, so as initialised (seed {seed}): {', '.join(kept)}")
    print(f"{graph.num_params:,} predicted parameters of {architecture.id}: {out}")


def convert(
    released: Annotated[Path, typer.Argument(help="Released checkpoint, such as ghn2_cifar10.pt.")],
    out: Annotated[Path, typer.Option(help="Checkpoint to write (safetensors).")],
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Convert a GHN checkpoint released with the paper (GHN-1, GHN-2, MLP) to a safetensors file.

    Example: `archrep convert ghn2_cifar10.pt --out ghn2-cifar10.safetensors`

    The other commands also take such a `.pt` file as --checkpoint.
    """
    from archrep.files import refuse_existing, to_json
    from archrep.ghn.released import load_released

    refuse_existing(out, force)
    ghn = load_released(released)
    ghn.save(out, force)
    config = ghn.config
    size = sum(p.numel() for p in ghn.parameters())
    if json:
        print(to_json({"params": size, "config": vars(config), "out": out}))
        return
    print(f"GHN of {size:,} parameters, {config.num_classes} classes, max_shape {config.max_shape}: {out}")
