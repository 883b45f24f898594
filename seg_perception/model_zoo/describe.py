# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Cards and the catalogue as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from seg_perception.errors import UserError
from seg_perception.evaluation.reports.tables import format_table
from seg_perception.model_zoo.cards import CardLicence, ModelCard, load_card
from seg_perception.model_zoo.catalogue import Catalogue

WIDTH = 95  # characters
LABEL_WIDTH = 14
NONE = '-'


def describe_card(card: ModelCard, folder: Path) -> str:
    """Return a card in words, for `seg_perception models show`."""
    network, size = card.network, card.input
    paragraphs = [
        ('model', f'{card.name}. {card.summary}'),
        ('folder', str(folder)),
        (
            'network',
            f'{network.name} {network.variant}, '
            + (f'rank {network.rank}, ' if network.rank else '')
            + f'{network.parameters / 1e6:.2f} M parameters',
        ),
        ('outputs', f'{card.classes} classes ({card.label_space})'),
        ('input', f'{size.height_px}x{size.width_px}, {size.fit}'),
        ('licence', f'{card.licence.word}. {card.licence.notes}'),
        *[('scores' if not i else '', line) for i, line in enumerate(describe_scores(card))],
        *[('instances' if not i else '', line) for i, line in enumerate(describe_panoptic(card))],
        ('calibration', describe_calibration(card)),
        *[
            ('speed' if not i else '', f'{speed.ms:.4g} ms: {speed.what}; {speed.machine}')
            for i, speed in enumerate(card.speed)
        ],
        *[('data' if not i else '', line) for i, line in enumerate(describe_data(card))],
        ('recipe', describe_recipe(card)),
        *[
            ('files' if not i else '', f'{name}  {file.sha256[:12]}...  {file.note}'.rstrip())
            for i, (name, file) in enumerate(card.files.items())
        ],
        ('limits', card.limits),
    ]
    return '\n'.join(wrap(label, text) for label, text in paragraphs if text)


def describe_scores(card: ModelCard) -> list[str]:
    """Return a line per score, the main one first."""
    names = sorted(card.scores, key=lambda name: name != card.main_score)
    return [
        f'{score.value:.3f}  {name}: {score.measured_on}'
        + (' (with Cityscapes knowledge from a teacher)' if score.cityscapes_teacher else '')
        for name, score in ((name, card.scores[name]) for name in names)
    ]


def describe_panoptic(card: ModelCard) -> list[str]:
    """Return a line per data set on which instances were scored."""
    lines = []
    for scores in card.panoptic:
        classes = ', '.join(f'{name} {pq:.3f}' for name, pq in scores.pq_per_class.items())
        figures = [f'PQ {scores.pq:.3f} (SQ {scores.sq:.3f}, RQ {scores.rq:.3f})']
        figures += [f'PQ of {classes}'] if classes else []
        if scores.id_switches_per_100 is not None:
            figures.append(f'{scores.id_switches_per_100:.2f} ID switches per 100')
        teacher = ' (with Cityscapes knowledge from a teacher)' * scores.cityscapes_teacher
        lines.append(f'{"; ".join(figures)}: {scores.measured_on}{teacher}')
    return lines


def describe_calibration(card: ModelCard) -> str:
    """Return the calibration in a line."""
    fitted = card.calibration
    if fitted is None:
        return 'none fitted'
    return (
        f'temperature {fitted.temperature:.3f}; expected calibration error '
        f'{fitted.ece_before:.3f} without, {fitted.ece_after:.3f} with it, on {fitted.measured_on}'
    )


def describe_data(card: ModelCard) -> list[str]:
    """Return a paragraph per data set."""
    return [
        f'{data.name}. Images: {data.images}. Labels: {data.labels}. Terms: {data.terms}. '
        f'Cite: {data.citation}.' + (f' Note: {data.note}.' if data.note else '')
        for data in card.data
    ]


def describe_recipe(card: ModelCard) -> str:
    """Return the recipe in a paragraph; '' where it is not known."""
    recipe = card.recipe
    if recipe is None:
        return ''
    seeds = ', '.join(map(str, recipe.seeds)) or 'none'
    return (
        f'{recipe.config}; {recipe.hardware}; {recipe.wall_time_minutes:g} minutes, '
        f'{recipe.iterations} iterations, seeds {seeds}. {recipe.note}'
    )


def wrap(label: str, text: str) -> str:
    """Set a paragraph beside its label."""
    indent = ' ' * LABEL_WIDTH
    return textwrap.fill(
        ' '.join(text.split()),
        WIDTH,
        initial_indent=label.ljust(LABEL_WIDTH),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def tabulate_models(folders: Mapping[str, Path], default_name: str, share_directory: Path) -> str:
    """Return the table of `seg_perception models list`, and what is wrong with cards.

    Args:
        folders: of the models, by name.
        default_name: of the one that is used when none is asked for.
        share_directory: the models below it came with the package.
    """
    rows, faults = [], []
    for name, folder in folders.items():
        origin = 'package' if folder.is_relative_to(share_directory) else 'yours'
        origin += ', default' if name == default_name else ''
        try:
            card = load_card(folder)
        except UserError as error:
            rows.append((name, NONE, NONE, NONE, NONE, origin))
            faults.append(f'warning: {error}')
            continue
        main = card.scores.get(card.main_score)
        rows.append(
            (
                name,
                f'{card.input.height_px}x{card.input.width_px}',
                f'{card.label_space} ({card.classes})',
                f'{main.value:.3f} {card.main_score}' if main else NONE,
                card.licence.word,
                origin,
            )
        )
    headers = ('model', 'input', 'labels', 'main score', 'licence', 'from')
    table = format_table(rows, headers, 'l' * len(headers), '')
    return '\n'.join([table, *faults])


def tabulate_catalogue(catalogue: Catalogue, folder: Path) -> str:
    """Return the table of what can be fetched, and the terms."""
    rows = [
        (
            entry.name,
            entry.summary,
            catalogue.terms[entry.terms].word,
            'fetched' if (folder / entry.file).is_file() else '',
        )
        for entry in catalogue.checkpoints
    ]
    terms = (describe_terms(name, licence) for name, licence in catalogue.terms.items())
    table = format_table(rows, ('checkpoint', 'what', 'licence', ''), 'llll', '')
    return '\n'.join([table, '', *terms])


def describe_terms(name: str, licence: CardLicence) -> str:
    """Return the terms of a group of checkpoints as a paragraph."""
    return wrap(name, f'{licence.word}. {licence.notes}')
