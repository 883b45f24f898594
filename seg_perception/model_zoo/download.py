# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Large files over https, going on where an earlier attempt ended."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from email.message import Message
from io import FileIO
from pathlib import Path
from urllib.parse import urlsplit

from seg_perception import __version__
from seg_perception.errors import UserError
from seg_perception.model_zoo.catalogue import check_url

CHUNK_BYTES = 1 << 18
ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True)
class DownloadConfig:
    """Patience. timeout_s: of a silent connection. attempts: in a row that bring nothing new."""

    timeout_s: float = 30.0
    attempts: int = 4
    pause_s: float = 2.0


@dataclass(frozen=True)
class PartState:
    """What a partial file is a part of.

    validator: the server's strong ETag or date of the content, '' where it gives none: then
    nothing tells whether the rest fits, and the download starts anew. total_bytes: 0 unknown.
    """

    url: str = ''
    validator: str = ''
    total_bytes: int = 0


class InterruptedDownloadError(UserError):
    """The connection ended before the file did; another attempt may go on from there."""


class UnreachableError(InterruptedDownloadError):
    """There was no connection at all."""


class ContentChangedError(Exception):
    """The server has other content than that which the partial file is a part of."""


class CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to an open connection."""

    def redirect_request(  # type: ignore[no-untyped-def]
        self, req, fp, code, msg, headers, newurl
    ) -> urllib.request.Request | None:
        """Refuse what a catalogue may not name either."""
        try:
            check_url(newurl)
        except ValueError as error:
            raise UserError(f'{req.full_url} leads to another place: {error}') from error
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    url: str, part: Path, on_progress: ProgressCallback, config: DownloadConfig | None = None
) -> None:
    """Fill `part` with what is at a URL; what is in it already from there is not sent again.

    Beside it `<part>.json` says what it is a part of; remove_part removes both. After an error
    both stay, for the next attempt.

    Args:
        url: https, see check_url.
        part: the partial file.
        on_progress: called with the bytes that are there and the total, 0 where it is unknown.
        config: how patient to be.

    Raises:
        UserError: the server is out of reach, has no such file or breaks off again and again, or
            the disk is full.
    """
    config = config or DownloadConfig()
    with open_part(part) as file:
        most_bytes = file.seek(0, os.SEEK_END)
        failures = 0
        for attempt in itertools.count():
            try:
                receive(url, part, file, on_progress, config.timeout_s)
                return
            except ContentChangedError:
                file.truncate(0)
                continue
            except InterruptedDownloadError as error:
                size_bytes = file.seek(0, os.SEEK_END)
                failures = 1 if size_bytes > most_bytes else failures + 1
                most_bytes = max(most_bytes, size_bytes)
                is_offline = attempt == 0 and isinstance(error, UnreachableError)
                if is_offline or failures >= config.attempts:
                    kept = f'; {size_bytes} bytes are kept, the same command goes on'
                    raise UserError(f'{error}{kept if size_bytes else ""}') from error
            time.sleep(config.pause_s)


def open_part(part: Path) -> FileIO:
    """Open a partial file for appending.

    Without a buffer: what a full disk refused would be tried again, and fail again, at the end.
    """
    try:
        return part.open('ab', buffering=0)
    except OSError as error:
        raise UserError(f'cannot write {part}: {error.strerror or error}') from error


def receive(
    url: str, part: Path, file: FileIO, on_progress: ProgressCallback, timeout_s: float
) -> None:
    """Make one request and append its answer.

    Raises:
        InterruptedDownloadError: the network failed, or the server sent less than it announced.
        ContentChangedError: the partial file is no part of what the server has.
        UserError: anything that another attempt would not mend.
    """
    offset = file.seek(0, os.SEEK_END)
    state = read_state(part)
    headers = {'User-Agent': f'seg_perception/{__version__}', 'Accept-Encoding': 'identity'}
    is_rest = offset > 0 and state.url == url and state.validator != ''
    if is_rest:
        headers |= {'Range': f'bytes={offset}-', 'If-Range': state.validator}
    with open_url(urllib.request.Request(url, headers=headers), timeout_s) as response:
        if is_rest and response.status == http.client.PARTIAL_CONTENT:
            if not continues(response.headers, offset, state):
                raise ContentChangedError
        else:  # all of it: the first time, a server without ranges, or other content
            file.truncate(0)
            offset = 0
            state = PartState(url, find_validator(response.headers), response.length or 0)
            write_state(part, state)
        check_space(part, state.total_bytes, offset)
        on_progress(offset, state.total_bytes)
        while chunk := read_chunk(response, url):
            append(file, chunk, part)
            offset += len(chunk)
            on_progress(offset, state.total_bytes)
    if offset < state.total_bytes:
        raise InterruptedDownloadError(
            f'{url}: the connection ended after {offset} of {state.total_bytes} bytes'
        )


def open_url(request: urllib.request.Request, timeout_s: float) -> http.client.HTTPResponse:
    """Send a request; the errors are those of `receive`."""
    url = request.full_url
    try:
        opener = urllib.request.build_opener(CheckedRedirects)
        return opener.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        is_too_far = error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE
        if is_too_far and request.has_header('Range'):
            raise ContentChangedError from error
        raise UserError(f'{url}: the server answers {error.code} {error.reason}') from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, 'reason', error)
        host = urlsplit(url).netloc
        raise UnreachableError(
            f'cannot reach {host} from this machine: {getattr(reason, "strerror", None) or reason}'
        ) from error


def read_chunk(response: http.client.HTTPResponse, url: str) -> bytes:
    """Read what comes next, b'' at the end."""
    try:
        return response.read(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise InterruptedDownloadError(
            f'{url}: the connection broke: {str(error) or type(error).__name__}'
        ) from error


def append(file: FileIO, chunk: bytes, part: Path) -> None:
    """Write all of a chunk."""
    try:
        while chunk:
            chunk = chunk[file.write(chunk) :]
    except OSError as error:
        raise UserError(
            f'cannot write {part}: {error.strerror}; what is there is kept, the same command '
            'goes on'
        ) from error


def check_space(part: Path, total_bytes: int, have_bytes: int) -> None:
    """Raise UserError when what is to come does not fit on the disk."""
    free_bytes = shutil.disk_usage(part.parent).free
    if total_bytes - have_bytes > free_bytes:
        raise UserError(
            f'{part.parent} has {free_bytes / 1e6:.0f} MB free, the file needs '
            f'{(total_bytes - have_bytes) / 1e6:.0f} MB more; make room'
        )


def continues(headers: Message, offset: int, state: PartState) -> bool:
    """Tell whether a partial answer goes on where the partial file ends, in the same content."""
    match = re.fullmatch(r'bytes (\d+)-\d+/(\d+|\*)', headers.get('Content-Range', '').strip())
    if not match or int(match[1]) != offset:
        return False
    if match[2] != '*' and state.total_bytes and int(match[2]) != state.total_bytes:
        return False
    found = [headers[key].strip() for key in ('ETag', 'Last-Modified') if key in headers]
    return not found or state.validator in found


def find_validator(headers: Message) -> str:
    """Return what tells one content from another: a strong ETag, else the date, else ''."""
    etag = headers.get('ETag', '').strip()
    if etag and not etag.startswith('W/'):
        return etag
    return headers.get('Last-Modified', '').strip()


def part_state_path(part: Path) -> Path:
    """Return where the state of a partial file is kept."""
    return part.with_name(part.name + '.json')


def read_state(part: Path) -> PartState:
    """Read what a partial file is a part of; a state that cannot be read says nothing."""
    try:
        return PartState(**json.loads(part_state_path(part).read_text(encoding='utf-8')))
    except (OSError, TypeError, ValueError):
        return PartState()


def write_state(part: Path, state: PartState) -> None:
    """Write what a partial file is a part of."""
    path = part_state_path(part)
    try:
        path.write_text(json.dumps(asdict(state)), encoding='utf-8')
    except OSError as error:
        raise UserError(f'cannot write {path}: {error.strerror or error}') from error


def remove_part(part: Path) -> None:
    """Remove a partial file and its state."""
    part.unlink(missing_ok=True)
    part_state_path(part).unlink(missing_ok=True)
