"""What both estimators share: quadratic forms as columns of a design and as matrices, and what is refused."""

import torch
from jaxtyping import Float
from torch import Tensor

CHUNK = 8  # points at a time: larger batches leave the processor's cache


def quadratic_design(u: Float[Tensor, "... K q"]) -> Float[Tensor, "... K P"]:
    """Columns u_i, then u_i u_j for i <= j with weight 1/2 on the squares: f(u) = b.u + u'Hu / 2, P = q + q(q+1)/2."""
    rows, columns = torch.triu_indices(u.shape[-1], u.shape[-1], device=u.device)
    weight = torch.where(rows == columns, 0.5, 1.0).to(u.dtype)
    return torch.cat([u, u[..., rows] * u[..., columns] * weight], dim=-1)


def symmetric(upper: Float[Tensor, "... P2"], q: int) -> Float[Tensor, "... q q"]:
    """The symmetric matrices whose upper triangles are given row by row."""
    rows, columns = torch.triu_indices(q, q, device=upper.device)
    full = upper.new_empty(*upper.shape[:-1], q, q)
    full[..., rows, columns] = upper
    full[..., columns, rows] = upper
    return full


def shaped(name: str, value: Tensor, shape: str) -> None:
    if value.ndim != shape.count(",") + 1:
        raise ValueError(f"{name}: shape {tuple(value.shape)}, expected {shape}")


def finite(name: str, total: Tensor) -> None:
    """Refuse what sums to NaN or infinity: one pass where torch.isfinite on every entry takes forty times as long."""
    if not total.isfinite().all():
        raise ValueError(f"{name}: holds NaN or infinite values, expected finite numbers")


# --- The faithful arm ------------------------------------------------------------------------------------------
