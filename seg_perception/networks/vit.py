# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The plain vision transformer (arXiv 2010.11929) as the encoder of SegViT: patches of 16 px.

No class token, no norm after the last block. Tokens lie in (N, tokens, C), row by row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg_perception.networks.mscan import DropPath
from seg_perception.networks.segnext import MEAN_RGB, STD_RGB

PATCH_PX = 16
NORM_EPSILON = 1e-6
INIT_STD = 0.02
AUGREG_MEAN, AUGREG_STD = 127.5, 127.5  # of each channel, where ours are ImageNet's
MLP_RATIO = 4


@dataclass(frozen=True)
class VisionTransformerSizes:
    """Sizes of an encoder.

    Attributes:
        width: channels of a token.
        depth: blocks.
        heads: of each attention.
        outputs: indices of the blocks whose tokens are returned.
        shrink_at: index of the block that keeps the tokens of even rows and columns alone (query
            downsampling); 0 for none.
    """

    width: int
    depth: int
    heads: int
    outputs: tuple[int, ...]
    shrink_at: int = 0


class TokenMap(NamedTuple):
    """Tokens (N, height * width, C) and the grid that they make."""

    tokens: Tensor
    height: int
    width: int


@dataclass(frozen=True)
class Heads:
    """How the channels of an attention are shared: `count` heads of `depth` channels.

    Held as plain numbers: read from a tensor's shape they would be nodes of an exported graph.
    """

    count: int
    depth: int

    def split(self, tokens: Tensor) -> Tensor:
        """Turn (N, tokens, C) into (N, heads, tokens, C / heads)."""
        return tokens.reshape(len(tokens), -1, self.count, self.depth).transpose(1, 2)

    def merge(self, tokens: Tensor) -> Tensor:
        """Turn (N, heads, tokens, C / heads) into (N, tokens, C)."""
        return tokens.transpose(1, 2).reshape(len(tokens), -1, self.count * self.depth)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend from (N, queries, C) to (N, tokens, C), scaled by 1 / sqrt(depth)."""
        attended = F.scaled_dot_product_attention(
            self.split(query), self.split(key), self.split(value), scale=self.depth**-0.5
        )
        return self.merge(attended)


def take_even(grid: TokenMap) -> TokenMap:
    """Keep the tokens at even rows and columns; odd sides round up."""
    rows = grid.tokens.unflatten(1, (grid.height, grid.width))
    kept = rows[:, ::2, ::2]
    return TokenMap(kept.flatten(1, 2), kept.shape[1], kept.shape[2])


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to each other, scaled by 1 / sqrt(C / heads)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.width, self.heads = width, Heads(heads, width // heads)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend; (N, tokens, C) in and out."""
        query, key, value = self.qkv(tokens).split(self.width, dim=2)
        return self.proj(self.heads.attend(query, key, value))


class QueryDownAttention(nn.Module):
    """As SelfAttention, but only the tokens of even rows and columns ask; all are asked.

    Its weights are those of a SelfAttention, queries apart from keys and values.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.width, self.heads = width, Heads(heads, width // heads)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Attend from (N, queries, C) to (N, tokens, C); returns the shape of the queries."""
        key, value = self.kv(tokens).split(self.width, dim=2)
        return self.proj(self.heads.attend(self.q(queries), key, value))


class Mlp(nn.Module):
    """Two layers with GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.fc2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform each token by itself."""
        return self.fc2(F.gelu(self.fc1(tokens)))


class Block(nn.Module):
    """Attention and MLP, each behind a norm and beside a shortcut.

    Where `is_shrinking`, attention and shortcut keep the tokens of even rows and columns.
    """

    def __init__(self, width: int, heads: int, drop_path: float, is_shrinking: bool) -> None:
        super().__init__()
        self.is_shrinking = is_shrinking
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPSILON)
        attention = QueryDownAttention if is_shrinking else SelfAttention
        self.attn: nn.Module = attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.mlp = Mlp(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, grid: TokenMap) -> TokenMap:
        """Refine, or shrink, a grid of tokens."""
        normed = self.norm1(grid.tokens)
        if self.is_shrinking:
            kept = take_even(TokenMap(normed, grid.height, grid.width))
            attended = self.attn(kept.tokens, normed)
            grid = take_even(grid)
        else:
            attended = self.attn(normed)
        tokens = grid.tokens + self.drop_path(attended)
        tokens = tokens + self.drop_path(self.mlp(self.norm2(tokens)))
        return TokenMap(tokens, grid.height, grid.width)


class PatchEmbed(nn.Module):
    """Patches to tokens: (N, 3, H, W) to (N, C, ceil(H / 16), ceil(W / 16))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH_PX, stride=PATCH_PX)

    def forward(self, image: Tensor) -> Tensor:
        """Embed; what is missing to whole patches is 0, the mean colour.

        15 px are added whatever the size: the convolution leaves out what makes no patch.
        """
        return self.proj(F.pad(image, (0, PATCH_PX - 1, 0, PATCH_PX - 1)))


class VisionTransformer(nn.Module):
    """The encoder: (N, 3, H, W) normalised RGB to the tokens of some of its blocks.

    Args:
        sizes: of the encoder.
        grid_side: rows, and columns, of the table of position embeddings. Other grids of tokens
            sample it bicubically.
        drop_path: rate of the last block; it rises evenly from 0 at the first.
    """

    def __init__(
        self, sizes: VisionTransformerSizes, grid_side: int, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.sizes = sizes
        self.patch_embed = PatchEmbed(sizes.width)
        self.pos_embed = nn.Parameter(torch.zeros(1, sizes.width, grid_side, grid_side))
        rates = torch.linspace(0, drop_path, sizes.depth, device='cpu').tolist()
        self.blocks = nn.ModuleList(
            Block(sizes.width, sizes.heads, rate, index == sizes.shrink_at > 0)
            for index, rate in enumerate(rates)
        )
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=INIT_STD)
                nn.init.zeros_(layer.bias)
        nn.init.trunc_normal_(self.pos_embed, std=INIT_STD)

    def forward(self, image: Tensor) -> list[TokenMap]:
        """Encode; returns the outputs in the order of the blocks."""
        embedded = self.patch_embed(image)
        height, width = embedded.shape[2:]
        tokens = embedded + resize_positions(self.pos_embed, height, width)
        grid = TokenMap(tokens.flatten(2).transpose(1, 2), height, width)
        outputs = []
        for index, block in enumerate(self.blocks):
            grid = block(grid)
            if index in self.sizes.outputs:
                outputs.append(grid)
        return outputs


def resize_positions(positions: Tensor, height: int, width: int) -> Tensor:
    """Sample a table (1, C, rows, columns) bicubically at a grid; unchanged at its own size."""
    return F.interpolate(positions, (height, width), mode='bicubic', align_corners=False)


def convert_published_weights(
    encoder: VisionTransformer, state: dict[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Rename and reshape a vision transformer with timm's keys, trained as AugReg.

    Positions are resized to the encoder's table, and the images that it was trained on (mean and
    deviation 127.5) become ours in its first layer. The class token, the norm after the last
    block, the classifier and blocks beyond the encoder's depth are left out. The state dict of
    such an encoder of ours stays as it is.

    Returns the encoder's state dict and the keys that were left out.
    """
    converted: dict[str, Tensor] = {}
    unused = []
    depth, shrink_at = encoder.sizes.depth, encoder.sizes.shrink_at
    for key, value in state.items():
        part, _, rest = key.partition('.')
        index = rest.partition('.')[0]
        if part == 'blocks' and index.isdigit() and int(index) >= depth:
            unused.append(key)
        elif shrink_at and key.startswith(f'blocks.{shrink_at}.attn.qkv.'):
            width = len(value) // 3
            converted[key.replace('.qkv.', '.q.')] = value[:width]
            converted[key.replace('.qkv.', '.kv.')] = value[width:]
        elif part in ('patch_embed', 'pos_embed', 'blocks'):
            converted[key] = value
        else:
            unused.append(key)
    positions = converted.get('pos_embed')
    if positions is not None and positions.ndim == 3:
        converted['pos_embed'] = convert_positions(positions, encoder.pos_embed)
        convert_input(converted)
    return converted, unused


def convert_positions(positions: Tensor, table: Tensor) -> Tensor:
    """Turn (1, tokens, C), class token first where there is one, into a table of our size.

    A count of tokens that makes no square is returned as it is: it fits no table.
    """
    count = positions.shape[1]
    side = math.isqrt(count)
    if count not in (side * side, side * side + 1):
        return positions
    grid = positions[:, count - side * side :].transpose(1, 2).unflatten(2, (side, side))
    return resize_positions(grid.float(), table.shape[2], table.shape[3])


def convert_input(state: dict[str, Tensor]) -> None:
    """Let a first layer that was trained on AugReg's images take ours, in place; exact."""
    weight, bias = state.get('patch_embed.proj.weight'), state.get('patch_embed.proj.bias')
    if weight is None or bias is None or weight.ndim != 4 or weight.shape[1] != len(MEAN_RGB):
        return
    scale = torch.tensor(STD_RGB) / AUGREG_STD
    shift = (torch.tensor(MEAN_RGB) - AUGREG_MEAN) / AUGREG_STD
    planes = weight.float()
    state['patch_embed.proj.weight'] = planes * scale[:, None, None]
    state['patch_embed.proj.bias'] = bias.float() + planes.sum((2, 3)) @ shift
