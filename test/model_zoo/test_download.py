# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Downloads go on where they ended, and never mix two contents."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import time

import pytest

from seg_perception.errors import UserError
from seg_perception.model_zoo.download import DownloadConfig, download, remove_part

QUICK = DownloadConfig(timeout_s=5.0, attempts=3, pause_s=0.01)
CONTENT = os.urandom(300_000)
DATE = 'Tue, 21 Feb 2023 10:00:00 GMT'


def ignore(have_bytes: int, total_bytes: int) -> None:
    """Show no progress."""


@pytest.fixture
def part(tmp_path):
    return tmp_path / 'file.pth.part'


def start_and_break(server, part, sent: int = 100_000) -> None:
    """Leave a partial file of `sent` bytes behind."""
    server.break_after = [sent]
    with pytest.raises(UserError, match=f'{sent} bytes are kept, the same command goes on'):
        download(server.url, part, ignore, DownloadConfig(attempts=1))
    assert part.read_bytes() == server.content[:sent]
    server.requests.clear()


def test_file_arrives_whole_and_progress_ends_at_its_size(make_server, part):
    server = make_server(CONTENT)
    steps = []
    download(server.url, part, lambda *step: steps.append(step), QUICK)
    assert part.read_bytes() == CONTENT
    assert steps[0] == (0, len(CONTENT))
    assert steps[-1] == (len(CONTENT), len(CONTENT))


def test_connection_that_ends_early_is_gone_on_with_at_once(make_server, part):
    server = make_server(CONTENT, break_after=[100_000, 50_000])
    download(server.url, part, ignore, QUICK)
    assert part.read_bytes() == CONTENT
    assert server.ranges() == ['', 'bytes=100000-', 'bytes=150000-']
    assert server.requests[1]['If-Range'] == '"1"'


def test_later_call_goes_on_where_the_first_was_interrupted(make_server, part):
    server = make_server(CONTENT)
    start_and_break(server, part)
    download(server.url, part, ignore, QUICK)
    assert part.read_bytes() == CONTENT
    assert server.ranges() == ['bytes=100000-']


def test_server_that_ignores_ranges_sends_all_of_it(make_server, part):
    server = make_server(CONTENT, has_ranges=False)
    start_and_break(server, part)
    download(server.url, part, ignore, QUICK)
    assert part.read_bytes() == CONTENT
    assert server.ranges() == ['bytes=100000-']


@pytest.mark.parametrize('checks_if_range', [True, False])
def test_changed_file_is_not_mixed_with_the_old_one(make_server, part, checks_if_range):
    server = make_server(CONTENT, checks_if_range=checks_if_range)
    start_and_break(server, part)
    server.content, server.validators = os.urandom(len(CONTENT)), {'ETag': '"2"'}
    download(server.url, part, ignore, QUICK)
    assert part.read_bytes() == server.content


@pytest.mark.parametrize('size', [50_000, 100_000])
def test_file_that_became_shorter_starts_anew(make_server, part, size):
    server = make_server(CONTENT)
    start_and_break(server, part)
    server.content = os.urandom(size)
    download(server.url, part, ignore, QUICK)
    assert part.read_bytes() == server.content
    assert server.ranges() == ['bytes=100000-', '']


@pytest.mark.parametrize(
    ('validators', 'ranges'),
    [
        ({'Last-Modified': DATE}, ['bytes=100000-']),
        ({'ETag': 'W/"1"', 'Last-Modified': DATE}, ['bytes=100000-']),
        ({'ETag': 'W/"1"'}, ['']),
        ({}, ['']),
    ],
)
def test_without_a_strong_sign_of_the_same_content_it_starts_anew(
    make_server, part, validators, ranges
):
    server = make_server(CONTENT, validators=validators)
    start_and_break(server, part)
    download(server.url, part, ignore, QUICK)
    assert part.read_bytes() == CONTENT
    assert server.ranges() == ranges


def test_part_of_another_address_starts_anew(make_server, part):
    start_and_break(make_server(CONTENT), part)
    other = make_server(os.urandom(200_000))
    download(other.url, part, ignore, QUICK)
    assert part.read_bytes() == other.content


def test_missing_file_is_said_with_the_servers_answer(make_server, part):
    server = make_server(status=404)
    with pytest.raises(UserError, match=r'file.pth\?dl=1: the server answers 404 Not Found'):
        download(server.url, part, ignore, QUICK)
    assert len(server.requests) == 1


def test_offline_is_said_at_once(part):
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        port = unused.getsockname()[1]
    start_s = time.monotonic()
    with pytest.raises(
        UserError, match=f'cannot reach 127.0.0.1:{port} from this machine: Connection refused'
    ):
        download(f'http://127.0.0.1:{port}/a.pth', part, ignore)
    assert time.monotonic() - start_s < 2.0


def test_unknown_host_is_named(part):
    with pytest.raises(UserError, match='cannot reach no-such-host.invalid from this machine'):
        download('https://no-such-host.invalid/a.pth', part, ignore, QUICK)


def test_silent_server_is_left_after_the_timeout(part):
    with socket.create_server(('127.0.0.1', 0)) as listener:
        url = f'http://127.0.0.1:{listener.getsockname()[1]}/a.pth'
        with pytest.raises(UserError, match='cannot reach .*: timed out'):
            download(url, part, ignore, DownloadConfig(timeout_s=0.2))


def test_connection_that_hangs_in_the_middle_is_left_after_the_timeout(make_server, part):
    server = make_server(CONTENT, pause_s=0.5)
    with pytest.raises(UserError, match='the connection broke: timed out'):
        download(server.url, part, ignore, DownloadConfig(timeout_s=0.1, attempts=1))


@pytest.mark.parametrize('has_ranges', [True, False])
def test_server_that_never_sends_all_it_announces_is_left(make_server, part, has_ranges):
    server = make_server(CONTENT, announced_bytes=len(CONTENT) + 1, has_ranges=has_ranges)
    with pytest.raises(UserError, match='the connection ended after 300000 of 300001 bytes'):
        download(server.url, part, ignore, QUICK)
    assert len(server.requests) < 10


def test_file_larger_than_the_disk_is_refused_before_it_fills_it(make_server, part):
    server = make_server(CONTENT, announced_bytes=1 << 60)
    with pytest.raises(UserError, match='MB free, the file needs 1152921504607 MB more'):
        download(server.url, part, ignore, QUICK)
    assert part.stat().st_size == 0


def test_write_that_fails_keeps_what_is_there(make_server, part):
    server = make_server(CONTENT)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        with pytest.raises(UserError, match=f'cannot write {part}: File too large; what is there'):
            download(server.url, part, ignore, QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert part.read_bytes() == CONTENT[:150_000]
    download(server.url, part, ignore, QUICK)
    assert part.read_bytes() == CONTENT
    assert server.ranges() == ['', 'bytes=150000-']


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a disk of 1 MB."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip('only root can make a small disk, and not everywhere')
    yield folder
    subprocess.run(['umount', str(folder)], check=True)


def test_full_disk_is_said_and_what_is_there_is_kept(make_server, small_disk):
    server = make_server(os.urandom(2_000_000), announces_length=False)
    part = small_disk / 'file.pth.part'
    with pytest.raises(UserError, match=f'cannot write {part}: No space left on device; what is'):
        download(server.url, part, ignore, QUICK)
    kept = part.read_bytes()
    assert kept
    assert server.content.startswith(kept)


def test_redirect_is_followed_on_this_machine_but_not_to_an_open_connection(make_server, part):
    target = make_server(CONTENT)
    server = make_server(status=302, location=target.url)
    download(server.url, part, ignore, QUICK)
    assert part.read_bytes() == CONTENT
    server.location = 'http://example.invalid/file.pth'
    with pytest.raises(UserError, match=r'leads to another place: .*expected https://'):
        download(server.url, part, ignore, QUICK)


def test_removed_part_leaves_nothing(make_server, part):
    server = make_server(CONTENT)
    start_and_break(server, part)
    remove_part(part)
    assert list(part.parent.iterdir()) == []
