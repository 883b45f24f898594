# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Writing rosbag2 recordings that appear under their name only when they are whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_messages import get_message_store

_STORAGE_PLUGINS = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
_UNSET_DURATION = QosTime(0, 0)


def make_qos(latched: bool = False, depth: int = 10) -> Qos:
    """Build the quality of service that `ros2 bag play` shall offer for a topic.

    Reliable serves reliable and best-effort subscribers alike; a latched topic (transient
    local, one message) is what tf2 demands of /tf_static.
    """
    return Qos(
        QosHistory.KEEP_LAST,
        1 if latched else depth,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        _UNSET_DURATION,
        _UNSET_DURATION,
        QosLiveliness.AUTOMATIC,
        _UNSET_DURATION,
        False,
    )


class BagWriter:
    """Context manager that writes one rosbag2 recording (format version 8).

    Version 9, that of Jazzy and Kilted, writes qualities of service as lists, at which Humble's
    rosbag2 stops; all three read version 8.

    Everything goes to a hidden folder beside the target, which is renamed when the context is
    left without an exception and removed otherwise: an interrupted run leaves neither a half
    bag nor a damaged earlier one.

    Args:
        path: Folder of the recording to make.
        custom_data: Entries of the recording's `custom_data`.
        overwrite: Replace an earlier recording at `path`.
        storage: 'mcap' or 'sqlite3'.
        compress_chunks: Compress the chunks of an mcap file with zstd, as `ros2 bag record
            --storage-preset-profile zstd_fast` does; any mcap reader takes it.

    Raises:
        UserError: `path` exists and may not be replaced, or cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        custom_data: Mapping[str, str] | None = None,
        overwrite: bool = False,
        storage: str = 'mcap',
        compress_chunks: bool = False,
    ) -> None:
        self.path = Path(path)
        self._custom_data = dict(custom_data or {})
        self._overwrite = overwrite
        self._storage = _STORAGE_PLUGINS[storage]
        self._compress_chunks = compress_chunks
        self._connections: dict[str, Any] = {}
        self._work_folder: Path | None = None
        self._writer: Writer | None = None

    def __enter__(self) -> BagWriter:
        check_target(self.path, self._overwrite)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._work_folder = Path(
                tempfile.mkdtemp(prefix=f'.{self.path.name}.', suffix='.tmp', dir=self.path.parent)
            )
        except OSError as error:
            raise UserError(f'cannot write a bag at {self.path}: {error}') from error
        # rosbag2 names the data file after its folder, so the folder has its final name already
        self._writer = Writer(
            self._work_folder / self.path.name, version=8, storage_plugin=self._storage
        )
        if self._compress_chunks:
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        for key, value in self._custom_data.items():
            self._writer.set_custom_data(key, value)
        self._writer.open()
        return self

    def add_topic(self, topic: str, type_name: str, latched: bool = False) -> None:
        """Announce a topic; the type is one of the common ROS 2 messages."""
        assert self._writer is not None
        self._connections[topic] = self._writer.add_connection(
            topic,
            type_name,
            typestore=get_message_store(),
            offered_qos_profiles=[make_qos(latched)],
        )

    def copy_topic(self, connection: Any, definition: str, type_hash: str) -> None:
        """Announce a topic of another recording, with its type and quality of service.

        Args:
            connection: Its rosbags connection.
            definition: Message definition of its type; '' when nobody has it.
            type_hash: RIHS01 hash of its type.
        """
        assert self._writer is not None
        key = f'{connection.topic} {connection.msgtype}'
        if key not in self._connections:
            self._connections[key] = self._writer.add_connection(
                connection.topic,
                connection.msgtype,
                msgdef=definition,
                rihs01=type_hash,
                serialization_format=connection.ext.serialization_format,
                offered_qos_profiles=connection.ext.offered_qos_profiles,
            )

    def copy_message(self, topic: str, type_name: str, data: bytes, log_time_ns: int) -> None:
        """Write one message of a copied topic as it was recorded (CDR)."""
        assert self._writer is not None
        self._writer.write(self._connections[f'{topic} {type_name}'], log_time_ns, data)

    def write(self, topic: str, message: Any, log_time_ns: int) -> None:
        """Write one message (a rosbags object) of an announced topic."""
        assert self._writer is not None
        connection = self._connections[topic]
        data = get_message_store().serialize_cdr(message, connection.msgtype)
        self._writer.write(connection, log_time_ns, data)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._writer is not None and self._work_folder is not None
        try:
            self._writer.__exit__(exc_type, exc, traceback)
            if exc_type is None:
                move_into_place(self._work_folder / self.path.name, self.path)
        finally:
            shutil.rmtree(self._work_folder, ignore_errors=True)
            self._writer = None


def check_target(path: Path, overwrite: bool) -> None:
    """Raise UserError when `path` exists and is not to be, or must not be, replaced."""
    if not path.exists() and not path.is_symlink():
        return
    if not overwrite:
        raise UserError(f'{path} exists already; choose another name or pass --overwrite')
    if not path.is_dir() or path.is_symlink() or not (path / 'metadata.yaml').is_file():
        raise UserError(
            f'{path} is not a rosbag2 folder (no metadata.yaml in it), so it is not replaced; '
            'choose another name or remove it yourself'
        )


def move_into_place(finished: Path, target: Path) -> None:
    """Rename a finished folder to its target, putting an earlier one aside until that is done."""
    if not target.exists():
        finished.rename(target)
        return
    aside = finished.with_name(f'{finished.name}.replaced')
    target.rename(aside)
    try:
        finished.rename(target)
    except OSError:
        aside.rename(target)
        raise
