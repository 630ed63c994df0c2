"""How much of a direction lies in a span of others."""

import torch
from jaxtyping import Float
from torch import Tensor


def captured(vectors: Float[Tensor, "n k c h w"], span: Float[Tensor, "n m c h w"]) -> Float[Tensor, "n k"]:
    """Share of each unit vector's energy inside the span of m orthonormal directions, in [0, 1]."""
    return torch.einsum("nkchw,nmchw->nkm", vectors, span).square().sum(2)
