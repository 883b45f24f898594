# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Attention to mask (Zhang et al., NeurIPS 2022, arXiv 2210.05844): SegViT's decoders.

One query per class attends to the tokens of the encoder. How similar it is to each token, before
the softmax, is the mask of its class; what it brings back tells whether the class is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seg_perception.networks.vit import (
    INIT_STD,
    Heads,
    SelfAttention,
    TokenMap,
    resize_positions,
)

LAYERS = 3  # of each decoder
FEED_FORWARD_RATIO = 4


class AtmOutputs(NamedTuple):
    """What a head says, the auxiliary outputs first and the one that counts last.

    Attributes:
        class_logits: (N, queries, classes + 1) each; the last class is "no object".
        masks: (N, queries, h, w) each, at 1/16 of the image, before the sigmoid.
    """

    class_logits: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]


class CrossAttention(nn.Module):
    """Multi-head attention of queries to tokens, which also tells their similarity."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = Heads(heads, width // heads)
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Attend from (N, queries, C) to (N, tokens, C); returns the shape of the queries."""
        return self.proj(self.heads.attend(self.q(queries), self.k(tokens), self.v(tokens)))

    def attend_to_mask(self, queries: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Attend, and return the scaled similarity (N, queries, tokens), the heads' mean, too."""
        query = self.heads.split(self.q(queries) * self.heads.depth**-0.5)
        key, value = self.heads.split(self.k(tokens)), self.heads.split(self.v(tokens))
        similarity = query @ key.transpose(2, 3)
        attended = torch.softmax(similarity, dim=3) @ value
        return self.proj(self.heads.merge(attended)), similarity.mean(1)


class DecoderLayer(nn.Module):
    """Self-attention of the queries, attention to the tokens, two layers; norms after each."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width, heads)
        self.cross_attn = CrossAttention(width, heads)
        self.linear1 = nn.Linear(width, FEED_FORWARD_RATIO * width)
        self.linear2 = nn.Linear(FEED_FORWARD_RATIO * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Refine (N, queries, C) by (N, tokens, C)."""
        queries = self._attend_to_selves(queries)
        return self._finish(queries, self.cross_attn(queries, tokens))

    def attend_to_mask(self, queries: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Refine, and return the similarity (N, queries, tokens) too."""
        queries = self._attend_to_selves(queries)
        attended, similarity = self.cross_attn.attend_to_mask(queries, tokens)
        return self._finish(queries, attended), similarity

    def _attend_to_selves(self, queries: Tensor) -> Tensor:
        return self.norm1(queries + self.dropout(self.self_attn(queries)))

    def _finish(self, queries: Tensor, attended: Tensor) -> Tensor:
        queries = self.norm2(queries + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(queries)))
        return self.norm3(queries + self.dropout(self.linear2(hidden)))


class LevelProjection(nn.Module):
    """Tokens of the encoder to those of a decoder: a linear layer and a norm."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Project (N, tokens, C)."""
        return self.norm(self.linear(tokens))


class Decoder(nn.Module):
    """The layers of one decoder."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(width, heads, dropout) for _ in range(LAYERS))

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Refine (N, queries, C) by (N, tokens, C)."""
        for layer in self.layers:
            queries = layer(queries, tokens)
        return queries

    def list_masks(self, queries: Tensor, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return what each layer makes of the queries, and its similarity."""
        outputs = []
        for layer in self.layers:
            queries, similarity = layer.attend_to_mask(queries, tokens)  # type: ignore[operator]
            outputs.append((queries, similarity))
        return outputs


def init_head(head: nn.Module) -> None:
    """Draw the linear layers so that they keep the size of what goes through (Xavier)."""
    for layer in head.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def shape_mask(similarity: Tensor, level: TokenMap) -> Tensor:
    """Turn (N, queries, tokens) into (N, queries, h, w)."""
    return similarity.reshape(len(similarity), -1, level.height, level.width)


class AtmHead(nn.Module):
    """A cascade of decoders, one per level of the encoder, deepest level first.

    The queries that leave a decoder enter the next one; the masks of the levels add up.
    """

    def __init__(
        self,
        in_width: int,
        width: int,
        heads: int,
        levels: int,
        num_classes: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.zeros(num_classes, width))
        self.projections = nn.ModuleList(LevelProjection(in_width, width) for _ in range(levels))
        self.decoders = nn.ModuleList(Decoder(width, heads, dropout) for _ in range(levels))
        self.class_head = nn.Linear(width, num_classes + 1)
        init_head(self)
        nn.init.trunc_normal_(self.queries, std=INIT_STD)

    def forward(self, levels: Sequence[TokenMap]) -> AtmOutputs:
        """Decode the levels, given in the order of the encoder; one output per level."""
        class_logits: list[Tensor] = []
        masks: list[Tensor] = []
        queries = self.queries.expand(len(levels[0].tokens), -1, -1)
        parts = zip(reversed(levels), self.projections, self.decoders, strict=True)
        for level, project, decoder in parts:
            queries, similarity = decoder.list_masks(queries, project(level.tokens))[-1]  # type: ignore[operator]
            mask = shape_mask(similarity, level)
            masks.append(masks[-1] + mask if masks else mask)
            class_logits.append(self.class_head(queries))
        return AtmOutputs(tuple(class_logits), tuple(masks))


class ShrunkHead(nn.Module):
    """The head of the Shrunk structure: query upsampling twice, then one decoder of masks.

    Learnt embeddings, one per patch, ask the level before the encoder shrank (1/16), then its last
    one (1/32). What they bring back are the tokens of the decoder; every layer of it is an output.
    """

    def __init__(
        self,
        in_width: int,
        width: int,
        heads: int,
        grid_side: int,
        num_classes: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.zeros(num_classes, width))
        self.upsampling_queries = nn.Parameter(torch.zeros(1, width, grid_side, grid_side))
        self.projections = nn.ModuleList(LevelProjection(in_width, width) for _ in range(2))
        self.upsamplers = nn.ModuleList(Decoder(width, heads, dropout) for _ in range(2))
        self.decoder = Decoder(width, heads, dropout)
        self.class_head = nn.Linear(width, num_classes + 1)
        init_head(self)
        nn.init.trunc_normal_(self.queries, std=INIT_STD)
        nn.init.trunc_normal_(self.upsampling_queries, std=INIT_STD)

    def forward(self, levels: Sequence[TokenMap]) -> AtmOutputs:
        """Decode the levels at 1/16 and 1/32; one output per layer of the decoder."""
        grid = self.upsample(levels)
        start = self.queries.expand(len(grid.tokens), -1, -1)
        outputs = self.decoder.list_masks(start, grid.tokens)
        return AtmOutputs(
            tuple(self.class_head(queries) for queries, _ in outputs),
            tuple(shape_mask(similarity, grid) for _, similarity in outputs),
        )

    def upsample(self, levels: Sequence[TokenMap]) -> TokenMap:
        """Bring both levels to the grid of the first, in the decoder's width."""
        fine = levels[0]
        table = resize_positions(self.upsampling_queries, fine.height, fine.width)
        tokens = table.flatten(2).transpose(1, 2).expand(len(fine.tokens), -1, -1)
        parts = zip(levels, self.projections, self.upsamplers, strict=True)
        for level, project, upsample in parts:
            tokens = upsample(tokens, project(level.tokens))
        return TokenMap(tokens, fine.height, fine.width)


def score_classes(class_logits: Tensor, masks: Tensor) -> Tensor:
    """Sum over the queries of class probability times mask: (N, classes, h, w) float32.

    class_logits: (N, queries, classes + 1); masks: (N, queries, h, w), before the sigmoid. "No
    object" is left out after the softmax.
    """
    probabilities = torch.softmax(class_logits.float(), dim=2)[:, :, :-1]
    planes = torch.sigmoid(masks.float())
    scores = probabilities.transpose(1, 2) @ planes.flatten(2)
    return scores.reshape(len(scores), -1, planes.shape[2], planes.shape[3])
