# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The plain vision transformer (arXiv 2010.11929) as the encoder of SegViT: patches of 16 px.

No class token, no norm after the last block. Tokens lie in (N, tokens, C), row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg_perception.networks.mscan import DropPath

PATCH_PX = 16
NORM_EPSILON = 1e-6
INIT_STD = 0.02
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


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """Turn (N, tokens, C) into (N, heads, tokens, C / heads)."""
    return tokens.unflatten(2, (heads, tokens.shape[2] // heads)).transpose(1, 2)


def merge_heads(tokens: Tensor) -> Tensor:
    """Turn (N, heads, tokens, C / heads) into (N, tokens, C)."""
    return tokens.transpose(1, 2).flatten(2)


def take_even(grid: TokenMap) -> TokenMap:
    """Keep the tokens at even rows and columns; odd sides round up."""
    channels = grid.tokens.shape[2]
    rows = grid.tokens.unflatten(1, (grid.height, grid.width))
    kept = rows[:, ::2, ::2]
    return TokenMap(kept.reshape(len(kept), -1, channels), kept.shape[1], kept.shape[2])


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to each other, scaled by 1 / sqrt(C / heads)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend; (N, tokens, C) in and out."""
        query, key, value = (
            split_heads(part, self.heads) for part in self.qkv(tokens).chunk(3, dim=2)
        )
        return self.proj(merge_heads(F.scaled_dot_product_attention(query, key, value)))


class QueryDownAttention(nn.Module):
    """As SelfAttention, but only the tokens of even rows and columns ask; all are asked.

    Its weights are those of a SelfAttention, queries apart from keys and values.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Attend from (N, queries, C) to (N, tokens, C); returns the shape of the queries."""
        query = split_heads(self.q(queries), self.heads)
        key, value = (split_heads(part, self.heads) for part in self.kv(tokens).chunk(2, dim=2))
        return self.proj(merge_heads(F.scaled_dot_product_attention(query, key, value)))


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
    """Rename and reshape a published vision transformer, as timm and AugReg name its parts.

    Positions are resized to the encoder's table; the class token, the norm after the last block,
    the classifier and blocks beyond the encoder's depth are left out.

    Returns the encoder's state dict and the keys that were left out.
    """
    converted, unused = {}, []
    depth, shrink_at = encoder.sizes.depth, encoder.sizes.shrink_at
    for key, value in state.items():
        parts = key.split('.')
        if parts[0] == 'blocks' and parts[1].isdigit() and int(parts[1]) >= depth:
            unused.append(key)
        elif parts[0] == 'pos_embed' and value.ndim == 3:
            converted[key] = convert_positions(value, encoder.pos_embed)
        elif shrink_at and key.startswith(f'blocks.{shrink_at}.attn.qkv.'):
            prefix = f'blocks.{shrink_at}.attn'
            width = len(value) // 3
            converted[f'{prefix}.q.{parts[-1]}'] = value[:width]
            converted[f'{prefix}.kv.{parts[-1]}'] = value[width:]
        elif parts[0] in ('patch_embed', 'pos_embed', 'blocks'):
            converted[key] = value
        else:
            unused.append(key)
    return converted, unused


def convert_positions(positions: Tensor, table: Tensor) -> Tensor:
    """Turn (1, tokens, C), class token first where there is one, into a table of our size.

    A count of tokens that makes no square is returned as it is: it fits no table.
    """
    count = positions.shape[1]
    side = int(count**0.5)  # the class token is no row of its own: (side^2 + 1) rounds down
    if count not in (side * side, side * side + 1):
        return positions
    grid = positions[:, count - side * side :].transpose(1, 2).unflatten(2, (side, side))
    return resize_positions(grid.float(), table.shape[2], table.shape[3])
