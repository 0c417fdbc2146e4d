"""The graph primitives of the released GHN checkpoints, in their order (design: 15 primitives)."""

PRIMITIVES: tuple[str, ...] = (
    "max_pool",
    "avg_pool",
    "sep_conv",  # grouped convolution without dilation, depthwise above all
    "dil_conv",  # grouped convolution with dilation
    "conv",  # dense convolution or linear layer
    "msa",  # multi-head self-attention, its product softmax(QK)V
    "cse",  # channel squeeze-and-excitation, its gating product
    "sum",
    "concat",
    "input",
    "bias",
    "bn",
    "ln",
    "pos_enc",
    "glob_avg",
)

INDEX: dict[str, int] = {name: i for i, name in enumerate(PRIMITIVES)}
