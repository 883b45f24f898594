# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Only files with the right hash get their name, and what was fetched is recorded."""

from __future__ import annotations

import hashlib
import os

import pytest
from web_server import make_checkpoint

from seg_perception.errors import UserError
from seg_perception.model_zoo.cards import CardLicence
from seg_perception.model_zoo.catalogue import Catalogue, CatalogueEntry
from seg_perception.model_zoo.download import DownloadConfig
from seg_perception.model_zoo.fetch import (
    check_fetched,
    fetch_checkpoint,
    lock_folder,
    read_record,
)

QUICK = DownloadConfig(timeout_s=5.0, attempts=1, pause_s=0.01)
LICENCE = CardLicence('non-commercial', 'for research')


class Shelf:
    """A folder and the one checkpoint that is fetched into it."""

    def __init__(self, folder, server, sha256=''):
        self.folder, self.lines = folder / 'checkpoints', []
        self.entry = CatalogueEntry(
            'net', 'encoder', 'a network', 't', server.url, 'net.pth', 'terms', sha256
        )
        self.path = self.folder / 'net.pth'

    def fetch(self):
        catalogue = Catalogue({'terms': LICENCE}, (self.entry,))
        return fetch_checkpoint(
            catalogue, self.entry, self.folder, lambda *_: None, self.lines.append, QUICK
        )

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def server(make_server):
    return make_server(make_checkpoint())


@pytest.fixture
def shelf(tmp_path, server):
    return Shelf(tmp_path, server)


def test_first_fetch_records_the_hash_and_the_terms(shelf, server):
    assert shelf.fetch() == shelf.path
    assert shelf.path.read_bytes() == server.content
    record = read_record(shelf.path)
    assert record.sha256 == hashlib.sha256(server.content).hexdigest()
    assert (record.name, record.url, record.licence) == ('net', server.url, LICENCE)
    assert shelf.names() == ['net.pth', 'net.pth.yaml']


def test_second_fetch_asks_nobody(shelf, server):
    shelf.fetch()
    server.requests.clear()
    shelf.fetch()
    assert server.requests == []
    assert shelf.lines == [f'{shelf.path} is there already']


@pytest.mark.parametrize('digits', [8, 64])
def test_published_hash_is_compared(tmp_path, server, digits):
    published = hashlib.sha256(server.content).hexdigest()[:digits]
    assert Shelf(tmp_path, server, published).fetch().is_file()


def test_wrong_hash_leaves_nothing_behind(tmp_path, server):
    shelf = Shelf(tmp_path, server, '0123abcd')
    with pytest.raises(
        UserError, match='net was not fetched: .*has sha256 .*its publisher says 0123abcd'
    ):
        shelf.fetch()
    assert shelf.names() == []


def test_other_content_than_at_the_first_fetch_is_refused(shelf, server):
    shelf.fetch()
    shelf.path.unlink()
    server.content = make_checkpoint()
    with pytest.raises(UserError, match=f'to accept it remove {shelf.path}.yaml'):
        shelf.fetch()
    assert shelf.names() == ['net.pth.yaml']
    (shelf.folder / 'net.pth.yaml').unlink()
    assert shelf.fetch().read_bytes() == server.content


def test_web_page_in_place_of_the_file_is_not_recorded(shelf, server):
    server.content = b'<!DOCTYPE html><html>This link has expired</html>'
    with pytest.raises(UserError, match="is no checkpoint but starts with b'<!DOCTYPE html>"):
        shelf.fetch()
    assert shelf.names() == []


def test_end_cut_off_unnoticed_is_noticed(shelf, server):
    server.announces_length, server.break_after = False, [100_000]
    with pytest.raises(UserError, match='is a checkpoint without its end'):
        shelf.fetch()
    assert shelf.names() == []


def test_damaged_file_is_moved_aside_and_fetched_anew(shelf, server):
    shelf.fetch()
    damaged = bytearray(server.content)
    damaged[1000] ^= 1
    shelf.path.write_bytes(damaged)
    shelf.fetch()
    assert shelf.path.read_bytes() == server.content
    assert (shelf.folder / 'net.pth.bad').read_bytes() == damaged
    assert f'moved to {shelf.path}.bad' in shelf.lines[0]


def test_copy_from_elsewhere_is_taken_without_a_network(shelf, server):
    shelf.folder.mkdir()
    shelf.path.write_bytes(server.content)
    shelf.fetch()
    assert server.requests == []
    assert read_record(shelf.path).sha256 == hashlib.sha256(server.content).hexdigest()


def test_failed_download_says_where_a_copy_may_go(shelf, server):
    server.status = 503
    with pytest.raises(UserError) as error:
        shelf.fetch()
    message = str(error.value)
    assert 'net was not fetched' in message
    assert 'the server answers 503 Service Unavailable' in message
    assert f'put it at {shelf.path}' in message
    assert '\n' not in message


def test_two_fetches_do_not_mix(shelf):
    with (
        lock_folder(shelf.folder),
        pytest.raises(UserError, match='another process is fetching into'),
    ):
        shelf.fetch()


def test_folder_that_cannot_be_made_is_named(shelf):
    shelf.folder.parent.joinpath('checkpoints').write_text('a file')
    with pytest.raises(UserError, match=f'cannot use folder {shelf.folder}: File exists'):
        shelf.fetch()


def test_check_names_files_that_changed_and_leaves_out_those_that_went(shelf):
    shelf.fetch()
    assert check_fetched(shelf.folder) == [('net', '')]
    shelf.path.write_bytes(os.urandom(100))
    ((name, fault),) = check_fetched(shelf.folder, 'net')
    assert name == 'net'
    assert fault.startswith(f'{shelf.path} has sha256 ')
    assert check_fetched(shelf.folder, 'other') == []
    shelf.path.unlink()
    assert check_fetched(shelf.folder) == []


def test_damaged_record_is_a_fault(shelf):
    shelf.fetch()
    shelf.folder.joinpath('net.pth.yaml').write_text('name: net\n')
    ((name, fault),) = check_fetched(shelf.folder)
    assert (name, "key 'url' is missing" in fault) == ('net.pth', True)
