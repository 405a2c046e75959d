"""Triton kernels of additive attention. Tiles are (cells, channels); sums are in float32.

Queries of an image out of range get NaN.
"""

# Triton compiles the annotations too, and knows only its own.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

import triton
import triton.language as tl


@triton.jit
def tanh(x):
    """``tanh``, by the exponential: 1 at infinity, NaN at NaN."""
    return 1.0 - 2.0 / (1.0 + tl.exp(2.0 * x))


@triton.jit
def score(
    projected,
    query,
    weight,
    image_index,
    out,
    n_images,
    n_cells,
    width,
    CELLS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Scores of one query for a block of cells: grid (B, blocks of S)."""
    b = tl.program_id(0).to(tl.int64)
    cells = tl.program_id(1) * CELLS + tl.arange(0, CELLS)
    image = tl.load(image_index + b)
    here = (image >= 0) & (image < n_images)
    image = tl.where(here, image, 0)
    rows = projected + (image * n_cells + cells[:, None]) * width
    total = tl.zeros((CELLS,), tl.float32)
    for k in range(0, width, CHANNELS):
        channels = k + tl.arange(0, CHANNELS)
        inside = channels < width
        w = tl.load(weight + channels, inside, 0.0)
        q = tl.load(query + b * width + channels, inside, 0.0)
        mask = (cells[:, None] < n_cells) & inside[None, :]
        p = tl.load(rows + channels[None, :], mask, 0.0).to(tl.float32)
        total += tl.sum(w[None, :] * tanh(p + q[None, :]), 1)
    total = tl.where(here, total, float("nan"))
    tl.store(out + b * n_cells + cells, total, cells < n_cells)


@triton.jit
def query_gradients(
    projected,
    query,
    weight,
    image_index,
    grad_scores,
    grad_query,
    grad_weight,
    n_images,
    n_cells,
    width,
    CELLS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """A query's gradient and its share of the weight's: grid (B, blocks of K)."""
    b = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channels < width
    image = tl.load(image_index + b)
    here = (image >= 0) & (image < n_images)
    image = tl.where(here, image, 0)
    w = tl.load(weight + channels, inside, 0.0)
    q = tl.load(query + b * width + channels, inside, 0.0)
    slope = tl.zeros((CHANNELS,), tl.float32)
    share = tl.zeros((CHANNELS,), tl.float32)
    for s in range(0, n_cells, CELLS):
        cells = s + tl.arange(0, CELLS)
        mask = (cells[:, None] < n_cells) & inside[None, :]
        rows = projected + (image * n_cells + cells[:, None]) * width
        p = tl.load(rows + channels[None, :], mask, 0.0).to(tl.float32)
        g = tl.load(grad_scores + b * n_cells + cells, cells < n_cells, 0.0)
        t = tanh(p + q[None, :])
        slope += tl.sum(g[:, None] * (1.0 - t * t), 0)
        share += tl.sum(g[:, None] * t, 0)
    nowhere = tl.where(here, 0.0, float("nan"))
    tl.store(grad_query + b * width + channels, w * slope + nowhere, inside)
    tl.store(grad_weight + b * width + channels, share + nowhere, inside)


@triton.jit
def projected_gradients(
    projected,
    query,
    weight,
    order,
    start,
    grad_scores,
    grad_projected,
    n_cells,
    width,
    CELLS: tl.constexpr,
    CHANNELS: tl.constexpr,
    ACCUMULATE: tl.constexpr,
):
    """The gradient of an image's tile, from all its queries: grid (U, blocks of S, of K)."""
    image = tl.program_id(0).to(tl.int64)
    cells = tl.program_id(1) * CELLS + tl.arange(0, CELLS)
    channels = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channels < width
    mask = (cells[:, None] < n_cells) & inside[None, :]
    offset = (image * n_cells + cells[:, None]) * width + channels[None, :]
    p = tl.load(projected + offset, mask, 0.0).to(tl.float32)
    total = tl.zeros((CELLS, CHANNELS), tl.float32)
    for j in range(tl.load(start + image), tl.load(start + image + 1)):
        b = tl.load(order + j)
        q = tl.load(query + b * width + channels, inside, 0.0)
        g = tl.load(grad_scores + b * n_cells + cells, cells < n_cells, 0.0)
        t = tanh(p + q[None, :])
        total += g[:, None] * (1.0 - t * t)
    w = tl.load(weight + channels, inside, 0.0)
    total *= w[None, :]
    if ACCUMULATE:
        total += tl.load(grad_projected + offset, mask, 0.0).to(tl.float32)
    tl.store(grad_projected + offset, total.to(grad_projected.dtype.element_ty), mask)


@triton.jit
def add_up(
    values,
    alpha,
    image_index,
    out,
    n_images,
    n_cells,
    n_channels,
    CELLS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """One query's weighted sum, a block of channels: grid (B, blocks of D)."""
    b = tl.program_id(0).to(tl.int64)
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channels < n_channels
    image = tl.load(image_index + b)
    here = (image >= 0) & (image < n_images)
    image = tl.where(here, image, 0)
    total = tl.zeros((CHANNELS,), tl.float32)
    for s in range(0, n_cells, CELLS):
        cells = s + tl.arange(0, CELLS)
        mask = (cells[:, None] < n_cells) & inside[None, :]
        rows = values + (image * n_cells + cells[:, None]) * n_channels
        v = tl.load(rows + channels[None, :], mask, 0.0).to(tl.float32)
        a = tl.load(alpha + b * n_cells + cells, cells < n_cells, 0.0)
        total += tl.sum(a[:, None] * v, 0)
    total = tl.where(here, total, float("nan"))
    tl.store(out + b * n_channels + channels, total, inside)


@triton.jit
def alpha_gradients(
    values,
    image_index,
    grad_out,
    grad_alpha,
    n_images,
    n_cells,
    n_channels,
    CELLS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """The gradient of one query's weights, a block of cells: grid (B, blocks of S)."""
    b = tl.program_id(0).to(tl.int64)
    cells = tl.program_id(1) * CELLS + tl.arange(0, CELLS)
    image = tl.load(image_index + b)
    here = (image >= 0) & (image < n_images)
    image = tl.where(here, image, 0)
    rows = values + (image * n_cells + cells[:, None]) * n_channels
    total = tl.zeros((CELLS,), tl.float32)
    for d in range(0, n_channels, CHANNELS):
        channels = d + tl.arange(0, CHANNELS)
        inside = channels < n_channels
        mask = (cells[:, None] < n_cells) & inside[None, :]
        v = tl.load(rows + channels[None, :], mask, 0.0).to(tl.float32)
        g = tl.load(grad_out + b * n_channels + channels, inside, 0.0)
        total += tl.sum(v * g[None, :], 1)
    total = tl.where(here, total, float("nan"))
    tl.store(grad_alpha + b * n_cells + cells, total, cells < n_cells)


@triton.jit
def value_gradients(
    alpha,
    order,
    start,
    grad_out,
    grad_values,
    n_cells,
    n_channels,
    CELLS: tl.constexpr,
    CHANNELS: tl.constexpr,
    ACCUMULATE: tl.constexpr,
):
    """The gradient of an image's tile, from all its queries: grid (U, blocks of S, of D)."""
    image = tl.program_id(0).to(tl.int64)
    cells = tl.program_id(1) * CELLS + tl.arange(0, CELLS)
    channels = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channels < n_channels
    mask = (cells[:, None] < n_cells) & inside[None, :]
    offset = (image * n_cells + cells[:, None]) * n_channels + channels[None, :]
    total = tl.zeros((CELLS, CHANNELS), tl.float32)
    for j in range(tl.load(start + image), tl.load(start + image + 1)):
        b = tl.load(order + j)
        a = tl.load(alpha + b * n_cells + cells, cells < n_cells, 0.0)
        g = tl.load(grad_out + b * n_channels + channels, inside, 0.0)
        total += a[:, None] * g[None, :]
    if ACCUMULATE:
        total += tl.load(grad_values + offset, mask, 0.0).to(tl.float32)
    tl.store(grad_values + offset, total.to(grad_values.dtype.element_ty), mask)
