# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""`seg_perception models`: what models there are, whether they are whole, and more of them."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from seg_perception.commands.arguments import require_packages
from seg_perception.errors import UserError

NAME = 'models'
HELP = 'list, show and verify models; fetch published checkpoints'
DESCRIPTION = """\
Models are found by name in two places: those that come with the package, and your own in
$XDG_DATA_HOME/seg_perception/models (default ~/.local/share/seg_perception/models), where
`seg_perception export --name NAME` puts them.

  seg_perception models list
  seg_perception models show segnext_t_street
  seg_perception models verify                        every hash of every model
  seg_perception models fetch                         what can be fetched, and its terms
  seg_perception models fetch segnext_t_cityscapes    download, verify; goes on after a break
"""
CHECKPOINTS_FOLDER = 'checkpoints'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their arguments."""
    actions = parser.add_subparsers(dest='action', metavar='ACTION', required=True)
    listing = actions.add_parser('list', help='all models: input, labels, main score, licence')
    listing.set_defaults(run_action=run_list)
    show = actions.add_parser('show', help="a model's card")
    show.add_argument('name', metavar='NAME', help='name of a model')
    show.set_defaults(run_action=run_show)
    verify = actions.add_parser(
        'verify',
        help='compute hashes anew and compare; exit code 2 when a file differs',
        description='Compares the files of models with the hashes in their cards, the cards with '
        'the model files, and fetched checkpoints with the hashes of their first fetch.',
    )
    verify.add_argument(
        'name', metavar='NAME', nargs='?', help='a model or a fetched checkpoint (default: all)'
    )
    verify.set_defaults(run_action=run_verify)
    fetch = actions.add_parser(
        'fetch',
        help='download a published checkpoint and verify it',
        description='Downloads a published checkpoint over https. A download that broke off is '
        'gone on with. The hash is compared with what the publisher gives; where he gives none, '
        'that of the first fetch is recorded beside the file and compared from then on.',
    )
    fetch.add_argument(
        'name', metavar='NAME', nargs='?', help='which one (default: list them with their terms)'
    )
    fetch.add_argument(
        '--catalogue',
        type=Path,
        metavar='FILE',
        help="another list of checkpoints, in the form of the package's model_zoo/catalogue.yaml",
    )
    fetch.set_defaults(run_action=run_fetch)


def run(arguments: argparse.Namespace) -> int:
    """Run one subcommand."""
    arguments.run_action(arguments)
    return 0


def run_list(arguments: argparse.Namespace) -> None:
    """Print a line per model."""
    from seg_perception.model_zoo.describe import tabulate_models
    from seg_perception.resources import (
        DEFAULT_MODEL_NAME,
        find_model_folders,
        find_share_directory,
    )

    print(tabulate_models(find_model_folders(), DEFAULT_MODEL_NAME, find_share_directory()))


def run_show(arguments: argparse.Namespace) -> None:
    """Print a card."""
    from seg_perception.model_zoo.cards import load_card
    from seg_perception.model_zoo.describe import describe_card
    from seg_perception.resources import find_model_folder

    folder = find_model_folder(arguments.name)
    print(describe_card(load_card(folder), folder))


def run_verify(arguments: argparse.Namespace) -> None:
    """Compare hashes; UserError names every file that differs."""
    from seg_perception.model_zoo.fetch import check_fetched
    from seg_perception.model_zoo.verify import check_model
    from seg_perception.resources import (
        find_model_folder,
        find_model_folders,
        find_user_directory,
    )

    fetched = []
    with contextlib.suppress(UserError):  # a user without a home has fetched nothing
        fetched = check_fetched(find_user_directory() / CHECKPOINTS_FOLDER, arguments.name)
    folders = find_model_folders()
    if arguments.name is not None:
        is_model = arguments.name in folders or not fetched
        folders = {arguments.name: find_model_folder(arguments.name)} if is_model else {}
    faults = []
    for name, folder in folders.items():
        found = check_model(folder)
        faults += found
        print(f'{name}: {"FAILED" if found else "ok"}')
    for name, fault in fetched:
        faults += [fault] if fault else []
        print(f'{name} (checkpoint): {"FAILED" if fault else "ok"}')
    if faults:
        raise UserError('\n  '.join(faults))


def run_fetch(arguments: argparse.Namespace) -> None:
    """Download and verify one checkpoint, or list them."""
    from seg_perception.model_zoo.catalogue import load_catalogue
    from seg_perception.model_zoo.describe import describe_terms, tabulate_catalogue
    from seg_perception.model_zoo.fetch import fetch_checkpoint
    from seg_perception.resources import find_user_directory

    catalogue = load_catalogue(arguments.catalogue)
    folder = find_user_directory() / CHECKPOINTS_FOLDER
    if arguments.name is None:
        print(tabulate_catalogue(catalogue, folder))
        return
    require_packages('train', 'tqdm')
    from tqdm import tqdm

    entry = catalogue.find(arguments.name)
    with tqdm(desc=entry.name, unit='B', unit_scale=True, disable=None) as bar:

        def show_progress(have_bytes: int, total_bytes: int) -> None:
            bar.total = total_bytes or None
            bar.update(have_bytes - bar.n)

        path = fetch_checkpoint(catalogue, entry, folder, show_progress, bar.write)
    print(f'{path}: {entry.summary}')
    print(describe_terms('terms', catalogue.terms[entry.terms]))
    print(entry.describe_use(path))
