"""What capture finds in published networks: one row per network of the lists below, and of all torchvision's.

    python -m benchmarks.capture --out benchmarks/capture.md

`complete`: every parameter that the forward pass uses belongs to one node. `clean`: acyclic, one input, one
output, and all nodes on a path from a source to the output.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from archrep import ArchGraph, Architecture, ArchrepError, architectures

TIMM = """
resnet50 resnext50_32x4d seresnet50 skresnet34 resnest14d res2net50_14w_8s ecaresnet26t gcresnet33ts resnetv2_50
nf_resnet50 dm_nfnet_f0 nf_regnet_b0 densenet121 dla34 dpn68 vovnet39a hrnet_w18_small xception41 inception_v4
inception_next_tiny vgg11 efficientnet_b0 mixnet_s mobilenetv3_large_100 mobilenetv4_hybrid_medium ghostnetv2_100
lcnet_050 rexnet_100 regnety_002 repvgg_a0 mobileone_s0 convnextv2_atto convmixer_768_32 edgenext_xx_small fastvit_t8
starnet_s1 repvit_m1 vit_tiny_patch16_224 vit_base_patch16_siglip_224 deit3_small_patch16_224 beit_base_patch16_224
eva02_tiny_patch14_224 cait_xxs24_224 xcit_nano_12_p16_224 crossvit_tiny_240 levit_128s tnt_s_patch16_224
twins_pcpvt_small pit_ti_224 visformer_tiny volo_d1_224 swin_tiny_patch4_window7_224 swinv2_tiny_window8_256
maxvit_tiny_tf_224 coatnet_0_rw_224 coat_tiny convit_tiny pvt_v2_b0 mvitv2_tiny nest_tiny gcvit_xxtiny davit_tiny
focalnet_tiny_srf efficientformerv2_s0 efficientvit_b0 mobilevitv2_050 tiny_vit_5m_224 hiera_tiny_224 poolformer_s12
caformer_s18 mixer_s32_224 resmlp_12_224 gmlp_s16_224 sequencer2d_s sehalonet33ts
"""
TRANSFORMERS = """
bert roberta deberta gpt2 llama t5 bart whisper vit swin clip mixtral mamba wav2vec2 detr qwen2_moe
"""


def parts(graph: ArchGraph) -> tuple[bool, bool]:
    """Whether a graph is complete, and whether it is clean."""
    owned = [name for names in graph.parameters for name in names]
    sources, targets = graph.edge_index.numpy()
    nodes = np.arange(len(graph.primitive))
    starts = [graph.primitives[i] for i in np.setdiff1d(nodes, targets)]
    one_input = starts.count("input") == 1 and set(starts) <= {"input", "pos_enc"}
    one_output = len(np.setdiff1d(nodes, sources)) == 1
    return len(owned) == len(set(owned)), bool((sources < targets).all()) and one_input and one_output


def row(architecture: Architecture) -> tuple[str, bool, float]:
    """A line of the table, whether all is well, and the seconds it took."""
    start = time.perf_counter()
    try:
        graph = architecture.graph
    except ArchrepError as error:
        return f"| `{architecture.id}` | | | | | refused: {error} | |", False, time.perf_counter() - start
    seconds = time.perf_counter() - start
    complete, clean = parts(graph)
    millions, count = graph.num_params / 1e6, graph.primitives.count
    unused = f"{len(graph.unused)} unused" if graph.unused else ""
    verdict = ", ".join(["complete"] * complete + ["clean"] * clean + [unused] * bool(unused))
    line = (
        f"| `{architecture.id}` | {millions:,.1f} | {len(graph.primitive)} | {count('msa')} | {count('cse')} "
        f"| {verdict} | {seconds:.2f} |"
    )
    return line, complete and clean, seconds


def tables() -> Iterator[str]:
    """The tables, section by section."""
    sections = {
        "torchvision": ["torchvision:*"],
        "timm": [f"timm:{name}" for name in TIMM.split()],
        "transformers": [f"transformers:{name}" for name in TRANSFORMERS.split()],
    }
    for title, specs in sections.items():
        rows = [row(architecture) for architecture in architectures(*specs)]
        well, seconds = sum(ok for _, ok, _ in rows), [s for *_, s in rows]
        yield f"\n## {title}: {well} of {len(rows)} complete and clean\n"
        median = np.median(seconds)
        yield f"Built without weights and captured in {median:.2f} s (median), at most {max(seconds):.2f} s.\n"
        yield "| network | M parameters | nodes | msa | cse | result | s |\n|---|--:|--:|--:|--:|---|--:|"
        yield from (line for line, *_ in rows)


def main() -> None:
    """Captures all and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="file for the tables (Markdown)")
    options = parser.parse_args()
    lines = ["# Capture of published networks\n\n`python -m benchmarks.capture --out benchmarks/capture.md`"]
    for line in tables():
        lines.append(line)
        print(line, flush=True)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
