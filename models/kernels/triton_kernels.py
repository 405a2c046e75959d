"""Triton kernels of additive attention. Tiles are (cells, channels); sums are in float32.

Queries come by image: those of image ``u`` are ``order[start[u] : start[u + 1]]``. A program takes
one query, or with ``BY_IMAGE`` one image with all its queries, whose cells are then read once.
Queries of an image out of range, which belong to the first or the last, get NaN.

Numbers are added up tile by tile, and a tile is summed once, at the end: a sum over a tile's axis
makes its threads wait for each other.
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
def queries_of(program, image_index, order, start, n_images, BY_IMAGE: tl.constexpr):
    """A program's image, and where its queries begin and end in ``order``."""
    if BY_IMAGE:
        image = program
        first = tl.load(start + image)
        last = tl.load(start + image + 1)
    else:
        image = tl.load(image_index + tl.load(order + program))
        image = tl.minimum(tl.maximum(image, 0), n_images - 1)
        first = program
        last = program + 1
    return image, first, last


@triton.jit
def score(
    projected,
    query,
    weight,
    image_index,
    order,
    start,
    out,
    n_images,
    n_cells,
    width,
    CELLS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BY_IMAGE: tl.constexpr,
):
    """Scores for a block of cells: grid (B or U, blocks of S)."""
    cells = tl.program_id(1) * CELLS + tl.arange(0, CELLS)
    image, first, last = queries_of(
        tl.program_id(0).to(tl.int64), image_index, order, start, n_images, BY_IMAGE
    )
    rows = projected + (image * n_cells + cells[:, None]) * width
    for j in range(first, last):
        b = tl.load(order + j)
        here = tl.load(image_index + b) == image
        total = tl.zeros((CELLS, CHANNELS), tl.float32)
        for k in range(0, width, CHANNELS):
            channels = k + tl.arange(0, CHANNELS)
            inside = channels < width
            w = tl.load(weight + channels, inside, 0.0)
            q = tl.load(query + b * width + channels, inside, 0.0)
            mask = (cells[:, None] < n_cells) & inside[None, :]
            p = tl.load(rows + channels[None, :], mask, 0.0).to(tl.float32)
            total += w[None, :] * tanh(p + q[None, :])
        scores = tl.where(here, tl.sum(total, 1), float("nan"))
        tl.store(out + b * n_cells + cells, scores, cells < n_cells)


@triton.jit
def query_gradients(
    projected,
    query,
    weight,
    image_index,
    order,
    start,
    grad_scores,
    grad_query,
    grad_weight,
    n_images,
    n_cells,
    width,
    CELLS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BY_IMAGE: tl.constexpr,
):
    """A query's gradient and its share of the weight's: grid (B or U, blocks of K)."""
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channels < width
    image, first, last = queries_of(
        tl.program_id(0).to(tl.int64), image_index, order, start, n_images, BY_IMAGE
    )
    w = tl.load(weight + channels, inside, 0.0)
    for j in range(first, last):
        b = tl.load(order + j)
        here = tl.load(image_index + b) == image
        q = tl.load(query + b * width + channels, inside, 0.0)
        slopes = tl.zeros((CELLS, CHANNELS), tl.float32)
        shares = tl.zeros((CELLS, CHANNELS), tl.float32)
        for s in range(0, n_cells, CELLS):
            cells = s + tl.arange(0, CELLS)
            mask = (cells[:, None] < n_cells) & inside[None, :]
            rows = projected + (image * n_cells + cells[:, None]) * width
            p = tl.load(rows + channels[None, :], mask, 0.0).to(tl.float32)
            g = tl.load(grad_scores + b * n_cells + cells, cells < n_cells, 0.0)
            t = tanh(p + q[None, :])
            slopes += g[:, None] * (1.0 - t * t)
            shares += g[:, None] * t
        nowhere = tl.where(here, 0.0, float("nan"))
        tl.store(grad_query + b * width + channels, w * tl.sum(slopes, 0) + nowhere, inside)
        tl.store(grad_weight + b * width + channels, tl.sum(shares, 0) + nowhere, inside)


@triton.jit
def projected_gradients(
    projected,
    query,
    weight,
    image_index,
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
        here = tl.load(image_index + b) == image
        q = tl.load(query + b * width + channels, inside, 0.0)
        g = tl.load(grad_scores + b * n_cells + cells, (cells < n_cells) & here, 0.0)
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
    order,
    start,
    out,
    n_images,
    n_cells,
    n_channels,
    CELLS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BY_IMAGE: tl.constexpr,
):
    """Weighted sums, a block of channels: grid (B or U, blocks of D)."""
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = channels < n_channels
    image, first, last = queries_of(
        tl.program_id(0).to(tl.int64), image_index, order, start, n_images, BY_IMAGE
    )
    for j in range(first, last):
        b = tl.load(order + j)
        here = tl.load(image_index + b) == image
        total = tl.zeros((CELLS, CHANNELS), tl.float32)
        for s in range(0, n_cells, CELLS):
            cells = s + tl.arange(0, CELLS)
            mask = (cells[:, None] < n_cells) & inside[None, :]
            rows = values + (image * n_cells + cells[:, None]) * n_channels
            v = tl.load(rows + channels[None, :], mask, 0.0).to(tl.float32)
            a = tl.load(alpha + b * n_cells + cells, cells < n_cells, 0.0)
            total += a[:, None] * v
        sums = tl.where(here, tl.sum(total, 0), float("nan"))
        tl.store(out + b * n_channels + channels, sums, inside)


@triton.jit
def alpha_gradients(
    values,
    image_index,
    order,
    start,
    grad_out,
    grad_alpha,
    n_images,
    n_cells,
    n_channels,
    CELLS: tl.constexpr,
    CHANNELS: tl.constexpr,
    BY_IMAGE: tl.constexpr,
):
    """The gradient of the weights, a block of cells: grid (B or U, blocks of S)."""
    cells = tl.program_id(1) * CELLS + tl.arange(0, CELLS)
    image, first, last = queries_of(
        tl.program_id(0).to(tl.int64), image_index, order, start, n_images, BY_IMAGE
    )
    rows = values + (image * n_cells + cells[:, None]) * n_channels
    for j in range(first, last):
        b = tl.load(order + j)
        here = tl.load(image_index + b) == image
        total = tl.zeros((CELLS, CHANNELS), tl.float32)
        for d in range(0, n_channels, CHANNELS):
            channels = d + tl.arange(0, CHANNELS)
            inside = channels < n_channels
            mask = (cells[:, None] < n_cells) & inside[None, :]
            v = tl.load(rows + channels[None, :], mask, 0.0).to(tl.float32)
            g = tl.load(grad_out + b * n_channels + channels, inside, 0.0)
            total += v * g[None, :]
        sums = tl.where(here, tl.sum(total, 1), float("nan"))
        tl.store(grad_alpha + b * n_cells + cells, sums, cells < n_cells)


@triton.jit
def value_gradients(
    alpha,
    image_index,
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
        here = tl.load(image_index + b) == image
        a = tl.load(alpha + b * n_cells + cells, (cells < n_cells) & here, 0.0)
        g = tl.load(grad_out + b * n_channels + channels, inside, 0.0)
        # Of a query of no image the gradient is NaN, which no weight of 0 takes away.
        total += a[:, None] * tl.where(here, g, 0.0)[None, :]
    if ACCUMULATE:
        total += tl.load(grad_values + offset, mask, 0.0).to(tl.float32)
    tl.store(grad_values + offset, total.to(grad_values.dtype.element_ty), mask)
