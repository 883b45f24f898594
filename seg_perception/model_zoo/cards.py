# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Model cards: `card.yaml` beside a model file, as frozen dataclasses."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path

from seg_perception.engines.contract import ModelMetadata
from seg_perception.evaluation.files import replace_file
from seg_perception.yaml_config import ConfigError, load_dataclass

CARD_FILE = 'card.yaml'
MODEL_FILE = 'model.onnx'
NO_RANK = 0
NAME_PATTERN = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]*')
MAX_LICENCE_WORD = 24  # characters: it is a column of `seg_perception models list`


@dataclass(frozen=True)
class CardNetwork:
    """The network inside: name, variant and rank build it; parameters are its trained values.

    rank: of SegNeXt's Hamburger, 0 for other networks.
    """

    name: str
    variant: str
    rank: int
    parameters: int

    def __post_init__(self) -> None:
        least = 1 if self.name == 'segnext' else NO_RANK
        if self.parameters < 1 or self.rank < least:
            raise ValueError(
                f'rank is {self.rank}, parameters {self.parameters}; expected 1 or more of each'
            )


@dataclass(frozen=True)
class CardInput:
    """The size at which the network sees an image, and how the image is fitted into it."""

    height_px: int
    width_px: int
    fit: str


@dataclass(frozen=True)
class CardFile:
    """A file beside the card: its hash, 64 hexadecimal digits, and what is worth saying."""

    sha256: str
    note: str = ''

    def __post_init__(self) -> None:
        if not re.fullmatch(r'[0-9a-f]{64}', self.sha256):
            raise ValueError(f"sha256 is '{self.sha256}', expected 64 digits of 0-9a-f")


@dataclass(frozen=True)
class CardData:
    """A data set that the weights come from, its terms, and whom to cite."""

    name: str
    images: str
    labels: str
    terms: str
    citation: str
    note: str = ''


@dataclass(frozen=True)
class CardLicence:
    """What may be done with the weights: one word or two for tables, and the reasons."""

    word: str
    notes: str

    def __post_init__(self) -> None:
        if not self.word.strip() or '\n' in self.word or len(self.word) > MAX_LICENCE_WORD:
            raise ValueError(
                f'word is {self.word!r}, expected 1 to {MAX_LICENCE_WORD} characters on one line, '
                "such as 'non-commercial'"
            )


@dataclass(frozen=True)
class CardRecipe:
    """How the weights were made. seeds: [] where there was none."""

    config: str
    hardware: str
    wall_time_minutes: float
    iterations: int
    seeds: tuple[int, ...]
    note: str = ''


@dataclass(frozen=True)
class CardScore:
    """One figure, a share of 1, and what it was measured on.

    cityscapes_teacher: whether the weights measured learnt from a teacher that was trained on
    Cityscapes. Such a score must not be compared with those of networks trained without.
    """

    value: float
    measured_on: str
    cityscapes_teacher: bool

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise ValueError(f'value is {self.value}, expected a share from 0 to 1, not per cent')


@dataclass(frozen=True)
class CardPanoptic:
    """How well a panoptic model finds instances and keeps their ids, and what it was measured on.

    The figures are those of `seg_perception evaluate --json`, by the same keys.

    pq, sq, rq: shares of 1, over all classes.
    pq_per_class: of the classes that occurred, or of those that matter.
    id_switches_per_100: null where the true ids are not those of the object in all images.
    cityscapes_teacher: as of CardScore.
    """

    pq: float
    sq: float
    rq: float
    pq_per_class: dict[str, float]
    id_switches_per_100: float | None
    measured_on: str
    cityscapes_teacher: bool

    def __post_init__(self) -> None:
        shares = {'pq': self.pq, 'sq': self.sq, 'rq': self.rq}
        shares |= {f'pq_per_class.{name}': value for name, value in self.pq_per_class.items()}
        for name, value in shares.items():
            if not 0.0 <= value <= 1.0:
                raise ValueError(f'{name} is {value}, expected a share from 0 to 1, not per cent')
        switches = self.id_switches_per_100
        if switches is not None and not 0.0 <= switches <= 100.0:
            raise ValueError(f'id_switches_per_100 is {switches}, expected 0 to 100, or null')


@dataclass(frozen=True)
class CardCalibration:
    """Temperature in the graph, and the expected calibration error without and with it."""

    temperature: float
    ece_before: float
    ece_after: float
    measured_on: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f'temperature is {self.temperature}, expected a number above 0')
        for name, value in (('ece_before', self.ece_before), ('ece_after', self.ece_after)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f'{name} is {value}, expected a share from 0 to 1')


@dataclass(frozen=True)
class CardSpeed:
    """One time: of what, on which machine."""

    what: str
    machine: str
    ms: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.ms) and self.ms > 0):
            raise ValueError(f'ms is {self.ms}, expected a number above 0')


@dataclass(frozen=True)
class ModelCard:
    """All that a model's folder says about it.

    Attributes:
        name: the folder's name, by which the model is found.
        summary: what it is for, in a sentence or two.
        network: what is inside.
        label_space: name of the space of its outputs.
        classes: number of them.
        input: what the graph was exported for.
        files: of the folder by name, the model file at least.
        data: what it was trained on, () where that is not known here.
        licence: what may be done with it.
        recipe: how it was trained, None where that is not known here.
        main_score: the key of the score to compare models by, '' where there is none.
        scores: through the deployed graph and decode at single scale, unless they say otherwise.
        calibration: None where no temperature was fitted.
        speed: what was measured.
        limits: what it cannot do.
        panoptic: scores of instances, on one data set each; () for models without instances.
    """

    name: str
    summary: str
    network: CardNetwork
    label_space: str
    classes: int
    input: CardInput
    files: dict[str, CardFile]
    data: tuple[CardData, ...]
    licence: CardLicence
    recipe: CardRecipe | None
    main_score: str
    scores: dict[str, CardScore]
    calibration: CardCalibration | None
    speed: tuple[CardSpeed, ...]
    limits: str
    panoptic: tuple[CardPanoptic, ...] = ()

    def __post_init__(self) -> None:
        if not is_model_name(self.name):
            raise ValueError(f"'name' is {self.name!r}, expected letters, digits, _ . and -")
        if MODEL_FILE not in self.files:
            raise ValueError(f"'files' lists {sorted(self.files)}, expected {MODEL_FILE} as well")
        for file_name in self.files:
            if Path(file_name).name != file_name:
                raise ValueError(
                    f"'files' lists {file_name!r}, expected plain names of files beside the card"
                )
        if self.main_score not in self.scores and (self.main_score or self.scores):
            raise ValueError(
                f"'main_score' is {self.main_score!r}, expected one of the scores: "
                f'{", ".join(self.scores) or "none, so an empty text"}'
            )


def is_model_name(name: str) -> bool:
    """Tell whether a model's folder may have that name; one on .onnx would be taken for a file."""
    return bool(NAME_PATTERN.fullmatch(name)) and not name.endswith('.onnx')


def load_card(folder: Path) -> ModelCard:
    """Read the card of a model's folder.

    Raises:
        ConfigError: no card there, or a fault in it; the message names file and key.
    """
    path = folder / CARD_FILE
    card = load_dataclass(ModelCard, path, 'model card')
    if card.name != folder.name:
        raise ConfigError(
            f"model card {path}: 'name' is {card.name!r}, expected the folder's name, "
            f'{folder.name!r}'
        )
    return card


def write_card(card: ModelCard, folder: Path) -> Path:
    """Write a card into a model's folder and return its path; UserError when it cannot be."""
    import yaml

    text = yaml.safe_dump(dataclasses.asdict(card), sort_keys=False, allow_unicode=True, width=95)
    path = folder / CARD_FILE
    replace_file(path, lambda temporary: temporary.write_text(text, encoding='utf-8'))
    return path


def list_disagreements(card: ModelCard, metadata: ModelMetadata) -> list[str]:
    """List what a card says differently from its model file, one line per key.

    The name may differ: a folder that was renamed keeps its model file.
    """
    # what else a file says of its network is not in cards
    network = {key: getattr(card.network, key) for key in ('name', 'variant', 'rank')}
    stored = {'rank': NO_RANK, **metadata.network}
    temperature = card.calibration.temperature if card.calibration else 1.0
    pairs = {
        'network': (network, {key: stored.get(key) for key in network}),
        'label_space': (card.label_space, metadata.label_space.name),
        'classes': (card.classes, metadata.label_space.num_classes),
        'input.height_px': (card.input.height_px, metadata.input.height_px),
        'input.width_px': (card.input.width_px, metadata.input.width_px),
        'input.fit': (card.input.fit, metadata.input.fit),
        'calibration.temperature': (round(temperature, 3), round(metadata.temperature, 3)),
    }
    lines = [
        f"'{key}' is {said!r} in the card and {found!r} in {MODEL_FILE}"
        for key, (said, found) in pairs.items()
        if said != found
    ]
    return lines + list_panoptic_disagreements(card, metadata)


def list_panoptic_disagreements(card: ModelCard, metadata: ModelMetadata) -> list[str]:
    """List scores of instances that the model file cannot have, one line each."""
    if card.panoptic and not metadata.is_panoptic:
        return [f"'panoptic' has scores of instances, but {MODEL_FILE} gives classes alone"]
    known = metadata.label_space.class_names
    return [
        f"'panoptic[{index}].pq_per_class' has {name!r}, which is no class of {MODEL_FILE}"
        for index, scores in enumerate(card.panoptic)
        for name in scores.pq_per_class
        if name not in known
    ]
