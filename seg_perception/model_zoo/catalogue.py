# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Which published checkpoints can be fetched, from where, and under which terms."""

from __future__ import annotations

import importlib.resources
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from seg_perception.errors import UserError
from seg_perception.model_zoo.cards import CardLicence, is_model_name
from seg_perception.yaml_config import load_dataclass

KINDS = ('network', 'encoder')
LOOPBACK_HOSTS = ('localhost', '127.0.0.1', '::1')


@dataclass(frozen=True)
class CatalogueEntry:
    """One published file.

    Attributes:
        name: by which it is fetched, and the name proposed for the model made of it.
        kind: 'network' for a whole one, 'encoder' for an encoder trained on ImageNet.
        summary: what it is.
        variant: of SegNeXt, 't', 's', 'b' or 'l'.
        url: where it is, https.
        file: its name on this machine.
        terms: key of the catalogue's `terms`.
        sha256: the hash or its first digits (8 at least), '' where the publisher gives none.
        rank: of the Hamburger that it was trained with; 0 for an encoder.
        label_space: of its outputs; '' for an encoder.
        classes: number of its outputs.
        height_px, width_px: network input to export it for; 0 for an encoder.
    """

    name: str
    kind: str
    summary: str
    variant: str
    url: str
    file: str
    terms: str
    sha256: str = ''
    rank: int = 0
    label_space: str = ''
    classes: int = 0
    height_px: int = 0
    width_px: int = 0

    def __post_init__(self) -> None:
        if not is_model_name(self.name):
            raise ValueError(f'name is {self.name!r}, expected letters, digits, _ . and -')
        if self.kind not in KINDS:
            raise ValueError(f'kind is {self.kind!r}, expected one of {", ".join(KINDS)}')
        if not is_model_name(self.file):
            raise ValueError(f'file is {self.file!r}, expected the plain name of a file')
        if not re.fullmatch(r'([0-9a-f]{8,64})?', self.sha256):
            raise ValueError(f"sha256 is {self.sha256!r}, expected its first 8 to 64 digits or ''")
        check_url(self.url)
        sizes = (self.rank, self.classes, self.height_px, self.width_px)
        if self.kind == 'network' and (min(sizes) < 1 or not self.label_space):
            raise ValueError(
                f"a network's rank, classes, height_px, width_px are {sizes}, label_space "
                f'{self.label_space!r}; expected 1 or more of each and a name'
            )

    def describe_use(self, path: Path) -> str:
        """Return what to do with the file, for a person."""
        file = shlex.quote(str(path))
        if self.kind == 'encoder':
            return (
                f'start training from it with this in the configuration:\n'
                f'  network: {{variant: {self.variant}, encoder_weights: {file}}}'
            )
        return (
            'make a model for the node of it:\n'
            f'  seg_perception export --checkpoint {file} --variant {self.variant} '
            f'--rank {self.rank} --labels {self.label_space} --height {self.height_px} '
            f'--width {self.width_px} --name {self.name}'
        )


@dataclass(frozen=True)
class Catalogue:
    """All published files, and the terms they come under."""

    terms: dict[str, CardLicence]
    checkpoints: tuple[CatalogueEntry, ...]

    def __post_init__(self) -> None:
        for key in ('name', 'file'):
            values = [getattr(entry, key) for entry in self.checkpoints]
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"'checkpoints' has the {key} {twice[0]!r} twice")
        for entry in self.checkpoints:
            if entry.terms not in self.terms:
                raise ValueError(
                    f"checkpoint '{entry.name}' has the terms {entry.terms!r}, expected one of "
                    f'{", ".join(self.terms)}'
                )

    def find(self, name: str) -> CatalogueEntry:
        """Return the entry of a name; UserError lists those there are."""
        for entry in self.checkpoints:
            if entry.name == name:
                return entry
        known = ', '.join(entry.name for entry in self.checkpoints)
        raise UserError(f'no checkpoint named {name} to fetch; there are {known}')


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Read a catalogue file, by default that of the package.

    Raises:
        ConfigError: file missing, or a fault in it; the message names file and key.
    """
    if path is not None:
        return load_dataclass(Catalogue, path, 'catalogue')
    entry = importlib.resources.files('seg_perception.model_zoo') / 'catalogue.yaml'
    with importlib.resources.as_file(entry) as own_path:
        return load_dataclass(Catalogue, own_path, 'catalogue')


def check_url(url: str) -> None:
    """Raise ValueError unless a URL is https, or http to this very machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ''
    except ValueError as error:
        raise ValueError(f'url is {url!r}: {error}') from error
    if not host or not (
        parts.scheme == 'https' or (parts.scheme == 'http' and host in LOOPBACK_HOSTS)
    ):
        raise ValueError(f'url is {url!r}, expected https://...')
