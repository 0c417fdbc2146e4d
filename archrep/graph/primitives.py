"""Vocabularies of graph primitives: the released one, and an extended one that tells more kinds apart.

The extended vocabulary begins with the released primitives, in their order. In the released one, a kind that it
does not have becomes its nearest primitive (`NEAREST`), or is contracted if it owns no parameters.
"""

# The primitives of the released GHN checkpoints, in their order.
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

# Kinds that only the extended vocabulary has → the nearest released primitive; None: contracted there.
NEAREST: dict[str, str | None] = {
    "linear": "conv",  # linear layer, or a matrix product with a parameter
    "group_conv": "sep_conv",  # grouped convolution that is not depthwise
    "dense_dil_conv": "conv",  # dense convolution with dilation
    "transposed_conv": "conv",
    "embedding": "conv",  # look-up in a table: the matrix product with a one-hot vector
    "rnn": "conv",  # weight of a recurrent layer
    "group_norm": "bn",
    "instance_norm": "bn",
    "rms_norm": "ln",
    "scale": "ln",  # learned elementwise factor, such as layer scale
    "parameter": "pos_enc",  # learned tensor that enters the data flow: tokens, queries, biases of attention
    "gate": None,  # elementwise product of two data paths that is not squeeze-and-excitation
}

EXTENDED: tuple[str, ...] = (*PRIMITIVES, *NEAREST)
VOCABULARIES: dict[str, tuple[str, ...]] = {"released": PRIMITIVES, "extended": EXTENDED}
