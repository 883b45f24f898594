# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Reading mcap files from their beginning, without index or footer: what a crash left of them.

The format is that of mcap.dev/spec: records of an opcode, a length and a content, some of them
chunks that hold further records, compressed. An intact file is read by rosbags, by its index.
"""

from __future__ import annotations

import heapq
import struct
import sys
from binascii import crc32
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import lz4.frame
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
)
from rosbags.rosbag2.metadata import parse_qos

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b'\x89MCAP0\r\n'
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 0x02, 0x03, 0x04, 0x05, 0x06
METADATA_INDEX, DATA_END = 0x0D, 0x0F
LAST_OPCODE, FIRST_PRIVATE_OPCODE = 0x0F, 0x80
_DEFINITION_FORMATS = {
    'ros2msg': MessageDefinitionFormat.MSG,
    'ros2idl': MessageDefinitionFormat.IDL,
    'omgidl': MessageDefinitionFormat.IDL,
}
_PIECE_BYTES = 2**16


class McapDamageError(ValueError):
    """Bytes that are no mcap records."""


class Block(NamedTuple):
    """A chunk, or a message outside chunks: log times of its messages, and where it lies."""

    start_ns: int
    end_ns: int
    offset: int
    is_chunk: bool


class McapScan:
    """What can be read of an mcap file; the interface is that of a rosbags reader.

    The whole file is read once while opening, which gives exact message counts. Messages come
    in the order of their log times; only the chunks at the reading position are in memory.

    Attributes:
        damage: What is wrong with the file; '' when it is intact.
        connections: Topics with the number of their readable messages.
        start_time: First log time, ns.
        end_time: One past the last log time, ns; not above `start_time` without messages.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ''
        self._blocks: list[Block] = []
        self._schemas: dict[int, tuple[str, MessageDefinition]] = {}
        self._channels: dict[int, Connection] = {}
        self._counts: Counter[int] = Counter()
        self._file = path.open('rb')
        self._size = path.stat().st_size
        try:
            if self._file.read(8) != MAGIC:
                raise McapDamageError('it does not begin as an mcap file')
            self._scan()
        except BaseException:
            self._file.close()
            raise
        self.connections = [
            channel._replace(msgcount=self._counts[channel_id])
            for channel_id, channel in self._channels.items()
        ]
        self.start_time = min((block.start_ns for block in self._blocks), default=2**63 - 1)
        self.end_time = 1 + max((block.end_ns for block in self._blocks), default=-1)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def messages(
        self,
        connections: Collection[Connection],
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield (connection, log time in ns, data) in the order of log times."""
        wanted = {connection.id: connection for connection in connections}
        first_ns = 0 if start is None else start
        stop_ns = 2**64 if stop is None else stop
        streams = [
            self._iterate_block(number, block, wanted, first_ns, stop_ns)
            for number, block in enumerate(self._blocks)
            if block.end_ns >= first_ns and block.start_ns < stop_ns
        ]
        for time_ns, _, position, connection, data in heapq.merge(*streams):
            if position >= 0:
                yield connection, time_ns, data

    def _iterate_block(
        self,
        number: int,
        block: Block,
        wanted: dict[int, Connection],
        first_ns: int,
        stop_ns: int,
    ) -> Iterator[tuple[int, int, int, Any, bytes]]:
        # holds the block's place in the merge, so that it is not read before its time has come
        yield block.start_ns, number, -1, None, b''
        if block.is_chunk:
            records, _ = self._read_chunk(block.offset)
        else:
            self._file.seek(block.offset)
            records = read_exact(self._file, 9)
            records += read_exact(self._file, struct.unpack_from('<Q', records, 1)[0])
        found = []
        for position, (opcode, content) in enumerate(iterate_records(records)):
            if opcode == MESSAGE:
                channel_id, _, time_ns, _ = struct.unpack_from('<HIQQ', content)
                if channel_id in wanted and first_ns <= time_ns < stop_ns:
                    entry = (time_ns, number, position, wanted[channel_id], bytes(content[22:]))
                    found.append(entry)
        yield from sorted(found, key=lambda entry: entry[0])

    def _scan(self) -> None:
        while True:
            offset = self._file.tell()
            head = self._file.read(9)
            if len(head) < 9:
                self._note(f'it ends at byte {self._size} without its index')
                return
            opcode, length = struct.unpack('<BQ', head)
            if opcode in (DATA_END, FOOTER):
                self._check_end()
                return
            if offset + 9 + length > self._size and opcode != CHUNK:
                self._note(f'it ends at byte {self._size} in the middle of a record')
                return
            if opcode == CHUNK:
                self._scan_chunk(offset)
            elif opcode in (SCHEMA, CHANNEL, MESSAGE):
                content = memoryview(read_exact(self._file, length))
                try:
                    self._add_records([(opcode, content)], offset, is_chunk=False)
                except (struct.error, ValueError, IndexError) as error:
                    self._note(f'a record at byte {offset} is damaged ({error})')
            elif opcode == 0 or LAST_OPCODE < opcode < FIRST_PRIVATE_OPCODE:
                self._note(f'no mcap records from byte {offset} on')
                return
            if offset + 9 + length > self._size:
                return
            self._file.seek(offset + 9 + length)

    def _scan_chunk(self, offset: int) -> None:
        try:
            records, fault = self._read_chunk(offset)
            if fault:
                self._note(fault)
            self._add_records(iterate_records(records), offset, is_chunk=True)
        # whatever a decompressor raises (zstd, lz4) means the same
        except (McapDamageError, struct.error, ValueError, RuntimeError, zstd.ZstdError) as error:
            self._note(f'the chunk at byte {offset} is damaged and left out ({error})')

    def _read_chunk(self, offset: int) -> tuple[bytes, str]:
        """Return the records of a chunk, of one that is cut off those before the cut, and why."""
        self._file.seek(offset + 9)
        _, _, size, checksum, name_length = struct.unpack('<QQQII', read_exact(self._file, 32))
        if name_length > 64:
            raise McapDamageError(f'a compression name of {name_length} bytes')
        compression = read_exact(self._file, name_length).decode()
        (stored,) = struct.unpack('<Q', read_exact(self._file, 8))
        position = self._file.tell()
        if position + stored > self._size:
            data = self._file.read()
            fault = f'it ends at byte {self._size} in the middle of a chunk'
            return decompress_prefix(data, compression), fault
        records = decompress(read_exact(self._file, stored), compression)
        if len(records) != size or (checksum and crc32(records) != checksum):
            raise McapDamageError('its checksum or size does not agree')
        return records, ''

    def _add_records(
        self, records: Any, offset: int, is_chunk: bool
    ) -> None:
        times_ns = []
        for opcode, content in records:
            if opcode == SCHEMA:
                self._add_schema(content)
            elif opcode == CHANNEL:
                self._add_channel(content)
            elif opcode == MESSAGE:
                channel_id, _, time_ns, _ = struct.unpack_from('<HIQQ', content)
                if channel_id in self._channels:
                    self._counts[channel_id] += 1
                    times_ns.append(time_ns)
        if times_ns:
            self._blocks.append(Block(min(times_ns), max(times_ns), offset, is_chunk))

    def _add_schema(self, content: memoryview) -> None:
        fields = RecordFields(content)
        schema_id = fields.read_uint16()
        name, encoding, text = fields.read_text(), fields.read_text(), fields.read_text()
        kind = _DEFINITION_FORMATS.get(encoding, MessageDefinitionFormat.NONE)
        self._schemas[schema_id] = (name, MessageDefinition(kind, text))

    def _add_channel(self, content: memoryview) -> None:
        fields = RecordFields(content)
        channel_id, schema_id = fields.read_uint16(), fields.read_uint16()
        topic, encoding = fields.read_text(), fields.read_text()
        no_schema = ('unknown', MessageDefinition(MessageDefinitionFormat.NONE, ''))
        name, definition = self._schemas.get(schema_id, no_schema)
        qos = fields.read_map().get('offered_qos_profiles', '')
        self._channels.setdefault(
            channel_id,
            Connection(
                id=channel_id,
                topic=topic,
                msgtype=name,
                msgdef=definition,
                digest='',
                msgcount=0,
                ext=ConnectionExtRosbag2(encoding, parse_qos(qos)),
                owner=self,
            ),
        )

    def _check_end(self) -> None:
        self._file.seek(-8, 2)
        if self._file.read(8) != MAGIC:
            self._note(f'its index is cut off at byte {self._size}')

    def _note(self, fault: str) -> None:
        self.damage = f'{self.damage}; {fault}' if self.damage else fault


class RecordFields:
    """Reads the fields of a record's content one after the other."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._position = 0

    def read_uint16(self) -> int:
        """Return the next two bytes as a number."""
        self._position += 2
        return int(struct.unpack_from('<H', self._content, self._position - 2)[0])

    def read_uint64(self) -> int:
        """Return the next eight bytes as a number."""
        self._position += 8
        return int(struct.unpack_from('<Q', self._content, self._position - 8)[0])

    def read_text(self) -> str:
        """Return the next text."""
        (length,) = struct.unpack_from('<I', self._content, self._position)
        begin = self._position + 4
        self._position = begin + length
        return bytes(self._content[begin : self._position]).decode(errors='replace')

    def read_map(self) -> dict[str, str]:
        """Return the next map of texts."""
        (length,) = struct.unpack_from('<I', self._content, self._position)
        self._position += 4
        end = self._position + length
        entries = {}
        while self._position < end:
            key = self.read_text()
            entries[key] = self.read_text()
        return entries


def iterate_records(records: bytes) -> Iterator[tuple[int, memoryview]]:
    """Yield (opcode, content) of the records in a row; one that is cut off ends it."""
    view = memoryview(records)
    position = 0
    while position + 9 <= len(view):
        opcode, length = struct.unpack_from('<BQ', view, position)
        end = position + 9 + length
        if end > len(view):
            return
        yield opcode, view[position + 9 : end]
        position = end


def read_exact(file: BinaryIO, count: int) -> bytes:
    """Return the next bytes of a file; raises McapDamageError when there are fewer."""
    data = file.read(count)
    if len(data) != count:
        raise McapDamageError(f'{count} bytes expected, {len(data)} there')
    return data


def decompress(data: bytes, compression: str) -> bytes:
    """Return the content of a chunk; raises McapDamageError for an unknown compression."""
    if compression == '':
        return data
    if compression == 'zstd':
        return zstd.decompress(data)
    if compression == 'lz4':
        return bytes(lz4.frame.decompress(data))
    raise McapDamageError(f'unknown compression {compression!r}; expected zstd or lz4')


def decompress_prefix(data: bytes, compression: str) -> bytes:
    """Return as much of a chunk that is cut off as can be decompressed."""
    if compression == '':
        return data
    decompressor: Any = (
        zstd.ZstdDecompressor() if compression == 'zstd' else lz4.frame.LZ4FrameDecompressor()
    )
    pieces = []
    try:
        for begin in range(0, len(data), _PIECE_BYTES):
            pieces.append(decompressor.decompress(data[begin : begin + _PIECE_BYTES]))
    except (zstd.ZstdError, RuntimeError, EOFError):
        # what was decompressed before is good
        return b''.join(pieces)
    return b''.join(pieces)


def read_mcap_metadata(path: Path, name: str) -> dict[str, str]:
    """Return the metadata record of a name in an intact mcap file, {} when there is none."""
    with path.open('rb') as file:
        file.seek(-28, 2)
        tail = file.read(28)
        (summary_start,) = struct.unpack_from('<Q', tail)
        if tail[-8:] != MAGIC or summary_start == 0:
            return {}
        file.seek(summary_start)
        for opcode, content in iterate_records(file.read()):
            if opcode != METADATA_INDEX:
                continue
            index = RecordFields(content)
            offset, length = index.read_uint64(), index.read_uint64()
            if index.read_text() == name:
                file.seek(offset + 9)
                record = RecordFields(memoryview(read_exact(file, length - 9)))
                record.read_text()
                return record.read_map()
    return {}
