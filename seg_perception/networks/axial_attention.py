# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Position-sensitive axial attention (Wang et al., ECCV 2020, arXiv 2003.07853, section 3.2).

Along one axis, for query i and key j of a line of pixels,

    score(i, j) = q_i . k_j + q_i . r_q[j - i] + k_j . r_k[j - i]
    output(i) = sum over j of softmax(score)(i, j) (v_j + r_v[j - i])

with learnt tables r of relative positions, shared by the heads. No 1 / sqrt(depth): a batch norm
of each (term, head) scales the scores instead. Everything is held against a dense formulation in
the tests.

Memory. The products of a line of L pixels with itself need heads * L * L numbers per line; all
lines of a map of h x w have heads * h * w * (h or w) of them. In evaluation they are computed for
`MAX_SCORES` numbers at a time, whatever the size: 3 arrays of 128 MB. Written out at once (in
training, where the batch norm needs all of them, and in an exported graph) one term is 2.1 GB at
1024x2048 along the rows of the first stage (256x512 pixels, 8 heads, float32). In a graph
`head_groups` divides that (`axial_deploy.limit_memory`): one head at a time is 268 MB, and the
maths needs it for softmax over a row in one piece. The position tables are gathered once for all
lines, (L, L, depth), never per pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TABLE_SPAN_PX = 255  # reach of the tables; longer axes attend to what lies within it
MAX_SCORES = 1 << 25
FAR = -1e4  # added to a score beyond the span: its exp is 0 in float32, float16 can hold it
TERMS = 3  # of a score: content, query and position, key and position
AXES = ('height', 'width')


class ConvNorm(nn.Module):
    """A convolution without bias and its batch norm; folding leaves a convolution with bias."""

    def __init__(
        self, in_channels: int, channels: int, kernel_px: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        padding = kernel_px // 2
        self.conv = nn.Conv2d(
            in_channels, channels, kernel_px, stride, padding, groups=groups, bias=False
        )
        self.norm: nn.Module = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise (N, C, H, W); odd sizes round up with stride 2."""
        return self.norm(self.conv(x))


class AxialAttention(nn.Module):
    """Multi-head attention along one axis; (N, C, H, W) in and out.

    Args:
        in_channels: of the input.
        channels: of the output; queries and keys have half as many.
        heads: that divide half of the channels.
        axis: 'height' attends within columns, 'width' within rows.
        span_px: pixels that a query sees, itself in the middle, an odd number; 0 sees the whole
            axis, as far as the tables reach (254 px either way).
        stride: of the output along the axis.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        heads: int,
        axis: str,
        span_px: int = 0,
        stride: int = 1,
    ) -> None:
        super().__init__()
        if axis not in AXES:
            raise ValueError(f'axis is {axis!r}, expected one of {", ".join(AXES)}')
        if channels % (2 * heads):
            raise ValueError(f'{channels} channels cannot be shared by {heads} heads, in halves')
        if span_px < 0 or (span_px and span_px % 2 == 0):
            raise ValueError(f'span_px is {span_px}, expected an odd number, or 0 for all')
        self.axis, self.heads, self.stride = axis, heads, stride
        self.channels = channels
        self.span_px = span_px
        self.head_groups = 1
        reach = TABLE_SPAN_PX - 1
        self.reach_px = min(span_px // 2, reach) if span_px else reach
        self.qkv = ConvNorm(in_channels, 2 * channels)
        # for each offset -254 .. 254: r_q, r_k and r_v of one head
        depth = 2 * channels // heads
        self.positions = nn.Parameter(torch.empty(depth, 2 * TABLE_SPAN_PX - 1))
        self.score_norm = nn.BatchNorm2d(TERMS * heads)
        # of (pixels, channels): PyTorch 2.13 returns wrong gradients for the batch norm of an
        # (N, C, L, 1) tensor whose gradient has another order in memory
        self.value_norm = nn.BatchNorm1d(2 * channels)
        nn.init.normal_(self.positions, std=depth**-0.5)
        nn.init.normal_(self.qkv.conv.weight, std=in_channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each line."""
        qkv = split_lines(self.qkv(x), self.axis)
        if self.training:
            output = self._attend_in_training(qkv)
        else:
            scales, value_scales, shift = self.fold_norms()
            output = attend(qkv, self.positions, scales, value_scales, self) + shift
        return subsample(join_lines(output, x, self.axis), self.axis, self.stride)

    def _attend_in_training(self, qkv: Tensor) -> Tensor:
        queries, keys, values = split_heads(qkv, self.channels, self.heads)
        tables = gather_positions(self.positions, qkv.shape[1], 0, qkv.shape[1], self)
        terms = compute_terms((queries, queries), (keys, keys), tables)
        scores = self.score_norm(torch.cat(terms, 1)).unflatten(1, (TERMS, self.heads)).sum(1)
        scores = scores + mask_far(qkv.shape[1], 0, qkv.shape[1], self)
        content, position = weigh_values(torch.softmax(scores, -1), values, tables)
        both = torch.cat([content.flatten(2), position.flatten(2)], 2)  # (lines, L, 2C)
        normalised = self.value_norm(both.flatten(0, 1)).reshape(both.shape)
        return normalised.unflatten(2, (2, self.channels)).sum(2)

    def fold_norms(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the batch norms are in evaluation.

        Scales of the score terms (3, heads), whose shifts the softmax does not see; scales of the
        two value terms (2, C); their common shift (C,).
        """
        scales, _ = read_affine(self.score_norm)
        value_scales, shifts = read_affine(self.value_norm)
        return (
            scales.unflatten(0, (TERMS, self.heads)),
            value_scales.unflatten(0, (2, self.channels)),
            shifts.unflatten(0, (2, self.channels)).sum(0),
        )


class FoldedAxialAttention(nn.Module):
    """AxialAttention as it is deployed: batch norms folded, which is exact.

    The value scale of the content and all shifts are in `qkv` (the weights of a softmax sum up to
    1), the three score scales and the scale of the position values stay.
    """

    def __init__(self, source: AxialAttention) -> None:
        super().__init__()
        self.axis, self.heads, self.stride = source.axis, source.heads, source.stride
        self.channels, self.reach_px = source.channels, source.reach_px
        self.span_px, self.head_groups = source.span_px, source.head_groups
        scales, value_scales, shift = source.fold_norms()
        dtype = source.positions.dtype
        self.qkv = nn.Conv2d(source.qkv.conv.in_channels, 2 * self.channels, 1, dtype=dtype)
        scale, offset = read_affine(source.qkv.norm)  # type: ignore[arg-type]
        factor = torch.cat([torch.ones_like(value_scales[0]), value_scales[0]])
        offset = offset * factor + torch.cat([torch.zeros_like(shift), shift])
        weight = source.qkv.conv.weight * (scale * factor)[:, None, None, None]
        self.qkv.load_state_dict({'weight': weight, 'bias': offset})
        self.positions = nn.Parameter(source.positions.detach().clone())
        self.score_scales = nn.Parameter(scales.detach().clone())
        self.position_scale = nn.Parameter(value_scales[1].detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each line of (N, C, H, W)."""
        qkv = split_lines(self.qkv(x), self.axis)
        value_scales = torch.stack([torch.ones_like(self.position_scale), self.position_scale])
        output = attend(qkv, self.positions, self.score_scales, value_scales, self)
        return subsample(join_lines(output, x, self.axis), self.axis, self.stride)


Attention = AxialAttention | FoldedAxialAttention


def read_affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the scale and shift per channel (C,) that a batch norm is in evaluation."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def split_lines(x: Tensor, axis: str) -> Tensor:
    """Reorder (N, C, H, W) to (lines, L, C), the lines of all images one after the other."""
    order = (0, 3, 2, 1) if axis == 'height' else (0, 2, 3, 1)
    return x.permute(order).flatten(0, 1)


def join_lines(lines: Tensor, like: Tensor, axis: str) -> Tensor:
    """Reorder (lines, L, C) to (N, C, H, W) of the size of another tensor of that form."""
    planes = lines.reshape(like.shape[0], -1, lines.shape[1], lines.shape[2])
    return planes.permute((0, 3, 2, 1) if axis == 'height' else (0, 3, 1, 2))


def subsample(x: Tensor, axis: str, stride: int) -> Tensor:
    """Keep every `stride`-th row ('height') or column of (N, C, H, W), the first one on.

    As the maximum of single pixels: a traced slice with a step ends where the example did.
    """
    if stride == 1:
        return x
    return F.max_pool2d(x, 1, (stride, 1) if axis == 'height' else (1, stride))


def split_heads(qkv: Tensor, channels: int, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Split (lines, L, 2C) into q, k (lines, L, heads, C / heads / 2) and v (.., C / heads)."""
    parts = qkv.split((channels // 2, channels // 2, channels), 2)
    # not unflatten, behind which a trace writes the sizes of its example into the graph
    shape = (qkv.shape[0], qkv.shape[1], heads, -1)
    queries, keys, values = (part.reshape(shape) for part in parts)
    return queries, keys, values


Tables = tuple[Tensor, Tensor, Tensor]
Operands = tuple[Tensor, Tensor]  # for the content, for the positions


def gather_positions(
    positions: Tensor, length: int, start: int, stop: int, attention: Attention
) -> Tables:
    """Gather r_q, r_k and r_v of queries start..stop and all keys: three (depth, queries, L).

    Beyond the span the outermost entry stands; `mask_far` leaves those out. The shape depends
    on the length of the axis alone, so a graph for one image size holds constants.
    """
    offsets = compute_offsets(length, start, stop, positions.device)
    reach = attention.reach_px
    index = offsets.clamp(-reach, reach) + (TABLE_SPAN_PX - 1)
    depth = attention.channels // attention.heads
    r_q, r_k, r_v = positions[:, index].split((depth // 2, depth // 2, depth))
    return r_q, r_k, r_v


def compute_offsets(length: int, start: int, stop: int, device: torch.device) -> Tensor:
    """Return the offsets (queries, L) int64 from each query start..stop to each key."""
    keys = torch.arange(length, device=device)
    queries = torch.arange(start, stop, device=device)
    return keys[None] - queries[:, None]


def mask_far(length: int, start: int, stop: int, attention: Attention) -> Tensor:
    """Return (queries, L): 0 within the span of a query, FAR beyond it."""
    offsets = compute_offsets(length, start, stop, attention.positions.device)
    is_far = offsets.abs() > attention.reach_px
    return is_far.to(attention.positions.dtype) * FAR


def compute_terms(queries: Operands, keys: Operands, tables: Tables) -> list[Tensor]:
    """Return the three terms of the scores, each (lines, heads, queries, keys).

    queries, keys: (lines, M, heads, depth) for the content and for the positions.
    """
    content = queries[0].transpose(1, 2) @ keys[0].permute(0, 2, 3, 1)
    by_query = multiply_by_table(queries[1], tables[0].permute(1, 0, 2))
    by_key = multiply_by_table(keys[1], tables[1].permute(2, 0, 1))
    return [content, by_query.permute(1, 2, 0, 3), by_key.permute(1, 2, 3, 0)]


def multiply_by_table(x: Tensor, table: Tensor) -> Tensor:
    """Multiply (lines, M, heads, depth) by (M, depth, L), one matrix product for each of the M.

    Returns (M, lines, heads, L).
    """
    heads = x.shape[2]
    products = x.transpose(0, 1).flatten(1, 2) @ table
    return products.reshape(x.shape[1], -1, heads, table.shape[2])


def weigh_values(weights: Tensor, values: Tensor, tables: Tables) -> tuple[Tensor, Tensor]:
    """Return the weighted values and position values, each (lines, queries, heads, depth)."""
    content = (weights @ values.transpose(1, 2)).transpose(1, 2)
    by_query = weights.permute(2, 0, 1, 3)  # (queries, lines, heads, L)
    heads = by_query.shape[2]
    position = by_query.flatten(1, 2) @ tables[2].permute(1, 2, 0)
    depth = tables[2].shape[0]
    return content, position.reshape(by_query.shape[0], -1, heads, depth).transpose(0, 1)


def attend(
    qkv: Tensor, positions: Tensor, scales: Tensor, value_scales: Tensor, attention: Attention
) -> Tensor:
    """Attend with (lines, L, 2C) in evaluation; (lines, L, C).

    scales: (3, heads) of the score terms; value_scales: (2, C) of the value terms.
    """
    queries, keys, values = split_heads(qkv, attention.channels, attention.heads)
    # scaled on the side of the queries and keys, which are smaller than the scores
    factors = scales[:, :, None]
    scaled = (factors[0] * queries, factors[1] * queries, keys, factors[2] * keys, values)
    split = [operand.split(attention.heads // attention.head_groups, 2) for operand in scaled]
    contents, places = [], []
    for own in zip(*split, strict=True):
        content, place = attend_in_blocks(
            (own[0], own[1]), (own[2], own[3]), own[4], positions, attention
        )
        contents.append(content)
        places.append(place)
    content, position = (torch.cat(parts, 2).flatten(2) for parts in (contents, places))
    return value_scales[0] * content + value_scales[1] * position


def attend_in_blocks(
    queries: Operands, keys: Operands, values: Tensor, positions: Tensor, attention: Attention
) -> tuple[Tensor, Tensor]:
    """Attend for some queries at a time; both value terms, each (lines, L, heads, depth).

    A block reads only the keys within the span of its queries. A graph is one block: a number of
    blocks that followed from the size could not be written into a file for any size.
    """
    length, reach = values.shape[1], attention.reach_px  # length stays an expression in a trace
    if torch.jit.is_tracing():
        return attend_block(queries, keys, values, positions, (length, 0, length), attention)
    step = choose_block(values.shape[0] * values.shape[2], length, reach)
    if step == length:
        return attend_block(queries, keys, values, positions, (length, 0, length), attention)
    contents, places = [], []
    for start in range(0, length, step):
        stop = min(start + step, length)
        first, last = max(0, start - reach), min(length, stop + reach)
        own, seen = slice(start, stop), slice(first, last)
        content, place = attend_block(
            (queries[0][:, own], queries[1][:, own]),
            (keys[0][:, seen], keys[1][:, seen]),
            values[:, seen],
            positions,
            (last - first, start - first, stop - first),
            attention,
        )
        contents.append(content)
        places.append(place)
    return torch.cat(contents, 1), torch.cat(places, 1)


def attend_block(
    queries: Operands,
    keys: Operands,
    values: Tensor,
    positions: Tensor,
    window: tuple[int, int, int],
    attention: Attention,
) -> tuple[Tensor, Tensor]:
    """Attend for queries start..stop of a window of (keys, start, stop); both value terms."""
    tables = gather_positions(positions, *window, attention)
    content, by_query, by_key = compute_terms(queries, keys, tables)
    scores = content + by_query + by_key + mask_far(*window, attention)
    return weigh_values(torch.softmax(scores, -1), values, tables)


def choose_block(rows: int, length: int, reach_px: int) -> int:
    """Return how many queries to take at a time, of lines and heads that are `rows` together.

    All of them where their scores fit MAX_SCORES and the span is not much shorter than the axis.
    """
    is_whole = rows * length * length <= MAX_SCORES and length <= 4 * reach_px
    if is_whole or length <= 16:
        return length
    window = min(length, 2 * reach_px + 1)
    fitting = max(1, MAX_SCORES // (rows * window))
    return min(length, fitting, max(16, 2 * reach_px + 1))
