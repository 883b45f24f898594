# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Reading sqlite3 bag files row by row: what a crash left of them.

An intact file is read by rosbags, in the order of its time index.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
)
from rosbags.rosbag2.metadata import parse_qos

_DEFINITION_FORMATS = {
    'ros2msg': MessageDefinitionFormat.MSG,
    'ros2idl': MessageDefinitionFormat.IDL,
}


class SqliteScan:
    """What can be read of a .db3 file; the interface is that of a rosbags reader.

    Rows are read in the order of recording until one is damaged. Their times are kept, 24 bytes
    per message, their data are not.

    Attributes:
        damage: What is wrong with the file; '' when it is intact.
        connections: Topics with the number of their readable messages.
        start_time: First log time, ns.
        end_time: One past the last log time, ns; not above `start_time` without messages.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ''
        self._unreadable_rows = 0
        self._database = open_database(path)
        try:
            channels = self._read_channels()
            rows, topics, times = self._read_index()
        except BaseException:
            self._database.close()
            raise
        order = np.argsort(times, kind='stable')
        self._rows, self._topics, self._times = rows[order], topics[order], times[order]
        counts = Counter(self._topics.tolist())
        self.connections = [channel._replace(msgcount=counts[channel.id]) for channel in channels]
        self.start_time = int(self._times[0]) if len(times) else 2**63 - 1
        self.end_time = int(self._times[-1]) + 1 if len(times) else 0

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def messages(
        self,
        connections: Collection[Connection],
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield (connection, log time in ns, data) in the order of log times."""
        wanted = {connection.id: connection for connection in connections}
        first = 0 if start is None else int(np.searchsorted(self._times, start))
        last = len(self._times) if stop is None else int(np.searchsorted(self._times, stop))
        for index in range(first, last):
            connection = wanted.get(int(self._topics[index]))
            if connection is None:
                continue
            query = 'SELECT data FROM messages WHERE id = ?'
            try:
                (data,) = self._database.execute(query, (int(self._rows[index]),)).fetchone()
            except sqlite3.DatabaseError as error:
                self._unreadable_rows += 1
                self.damage = f'{self._unreadable_rows} messages are damaged ({error})'
                continue
            yield connection, int(self._times[index]), bytes(data)

    def _read_channels(self) -> list[Connection]:
        columns = {row[1] for row in self._database.execute('PRAGMA table_info(topics)')}
        qos_column = 'offered_qos_profiles' if 'offered_qos_profiles' in columns else "''"
        definitions = self._read_definitions()
        unknown = MessageDefinition(MessageDefinitionFormat.NONE, '')
        return [
            Connection(
                id=topic_id,
                topic=name,
                msgtype=type_name,
                msgdef=definitions.get(type_name, unknown),
                digest='',
                msgcount=0,
                ext=ConnectionExtRosbag2(serialization_format, parse_qos(qos)),
                owner=self,
            )
            for topic_id, name, type_name, serialization_format, qos in self._database.execute(
                f'SELECT id, name, type, serialization_format, {qos_column} FROM topics'
            )
        ]

    def _read_definitions(self) -> dict[str, MessageDefinition]:
        tables = {row[0] for row in self._database.execute('SELECT name FROM sqlite_master')}
        if 'message_definitions' not in tables:
            return {}
        query = 'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions'
        return {
            type_name: MessageDefinition(
                _DEFINITION_FORMATS.get(encoding, MessageDefinitionFormat.NONE), text
            )
            for type_name, encoding, text in self._database.execute(query)
        }

    def _read_index(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, topics, times = array('q'), array('q'), array('q')
        try:
            # NOT INDEXED: the rows themselves, in the order of recording, not an index that may
            # lie behind the damage
            for row, topic, time_ns in self._database.execute(
                'SELECT id, topic_id, timestamp FROM messages NOT INDEXED ORDER BY id'
            ):
                rows.append(row)
                topics.append(topic)
                times.append(time_ns)
        except sqlite3.DatabaseError as error:
            self.damage = f'readable up to message {len(rows)} ({error})'
        return np.asarray(rows), np.asarray(topics), np.asarray(times)


def open_database(path: Path) -> sqlite3.Connection:
    """Open a .db3 file for reading, a cut-off one too."""
    mode = 'mode=ro' if has_write_ahead_log(path) else 'immutable=1'
    database = sqlite3.connect(f'{path.absolute().as_uri()}?{mode}', uri=True)
    # without it SQLite refuses a file that is shorter than its header says
    database.execute('PRAGMA writable_schema = ON')
    return database


def has_write_ahead_log(path: Path) -> bool:
    """Tell whether a recorder that crashed left messages in a log beside the file."""
    log = path.with_name(f'{path.name}-wal')
    return log.is_file() and log.stat().st_size > 0


def read_sqlite_metadata(path: Path) -> str:
    """Return the metadata text in a .db3 file, '' when there is none."""
    database = open_database(path)
    try:
        row = database.execute('SELECT metadata FROM metadata ORDER BY id DESC LIMIT 1').fetchone()
    except sqlite3.DatabaseError:
        # files written before ROS 2 Iron have no such table
        return ''
    finally:
        database.close()
    return str(row[0]) if row else ''
