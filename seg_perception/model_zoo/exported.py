# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The card of a model that was exported here: what is known of its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seg_perception.engines.model_file import load_model_file
from seg_perception.model_zoo.cards import (
    CARD_FILE,
    NO_RANK,
    CardData,
    CardFile,
    CardInput,
    CardLicence,
    CardNetwork,
    CardRecipe,
    ModelCard,
    load_card,
)
from seg_perception.model_zoo.fetch import read_record
from seg_perception.model_zoo.verify import compute_sha256

UNKNOWN_LICENCE = CardLicence(
    'unknown',
    'The terms of the checkpoint and of the data that it was trained on apply; this package does '
    'not know them.',
)


@dataclass(frozen=True)
class Origin:
    """What is known of a checkpoint."""

    summary: str
    licence: CardLicence = UNKNOWN_LICENCE
    data: tuple[CardData, ...] = ()
    recipe: CardRecipe | None = None


def make_card(model_path: Path, checkpoint: Path, parameters: int) -> ModelCard:
    """Return the card of a model file in its own folder, without any score.

    Licence, data and recipe are those of the checkpoint, where it was fetched or lies beside a
    card, and is unchanged since.

    Args:
        model_path: the model file; its folder is the model's name.
        checkpoint: what it was exported from.
        parameters: trained values of the network.
    """
    metadata = load_model_file(model_path).metadata
    network = metadata.network
    origin = find_origin(checkpoint, metadata.source_sha256, network['name'])
    return ModelCard(
        name=model_path.parent.name,
        summary=f'{origin.summary.rstrip(".")}; exported from {checkpoint.name}, sha256 '
        f'{metadata.source_sha256}',
        network=CardNetwork(
            network['name'], network['variant'], network.get('rank', NO_RANK), parameters
        ),
        label_space=metadata.label_space.name,
        classes=metadata.label_space.num_classes,
        input=CardInput(metadata.input.height_px, metadata.input.width_px, metadata.input.fit),
        files={model_path.name: CardFile(compute_sha256(model_path))},
        data=origin.data,
        licence=origin.licence,
        recipe=origin.recipe,
        main_score='',
        scores={},
        calibration=None,
        speed=(),
        limits='Nothing was measured with this export: no score, no calibration, no speed.',
    )


def find_origin(checkpoint: Path, sha256: str, summary: str = 'segnext') -> Origin:
    """Look for a record or a card that speaks of this very content of a checkpoint.

    summary: what it is called where there is neither.
    """
    record = read_record(checkpoint)
    if record is not None and record.sha256 == sha256:
        return Origin(record.summary, record.licence)
    if (checkpoint.parent / CARD_FILE).is_file():
        card = load_card(checkpoint.resolve().parent)
        if checkpoint.name in card.files and card.files[checkpoint.name].sha256 == sha256:
            return Origin(card.summary, card.licence, card.data, card.recipe)
    return Origin(summary)
