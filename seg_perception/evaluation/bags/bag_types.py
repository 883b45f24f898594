# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Message types of a recording: from its own definitions, else those of its ROS distribution."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.serde import SerdeError
from rosbags.typesys import (
    Stores,
    TypesysError,
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
)

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_files import describe
from seg_perception.evaluation.bags.bag_messages import get_message_store

# type hash of a type that nobody knows; rosbag2 does not look at it when it plays
UNKNOWN_TYPE_HASH = 'RIHS01_' + '0' * 64
# Humble wrote metadata up to version 5, without the name of the distribution
_LAST_HUMBLE_METADATA_VERSION = 5


class MessageTypes:
    """Decodes the messages of one recording; a type is looked up when it is first needed.

    Args:
        connections: Topics of the recording with their definitions.
        metadata: Content of its metadata.yaml.
    """

    def __init__(self, connections: Sequence[Any], metadata: Mapping[str, Any]) -> None:
        self._definitions = {
            c.msgtype: c.msgdef
            for c in reversed(connections)
            if c.msgdef.format != MessageDefinitionFormat.NONE
        }
        self._metadata = metadata
        self._stores: dict[str, Any] = {}

    def decode(self, type_name: str, data: bytes) -> Any:
        """Decode CDR to a rosbags object.

        Raises:
            UserError: The type has no usable definition.
            ValueError: The bytes are no such message.
        """
        store = self.get_store(type_name)
        try:
            return store.deserialize_cdr(data, type_name)
        except (SerdeError, ValueError, IndexError, struct.error, AssertionError) as error:
            raise ValueError(f'no valid {type_name}: {describe(error)}') from error

    def get_store(self, type_name: str) -> Any:
        """Return the type store that decodes a type; raises UserError when there is none."""
        if type_name not in self._stores:
            self._stores[type_name] = self._build_store(type_name)
        return self._stores[type_name]

    def make_definition(self, type_name: str) -> tuple[str, str]:
        """Return definition text and type hash of a type, to be written to another recording."""
        try:
            store = self.get_store(type_name)
            definition = self._definitions.get(type_name)
            text = definition.data if definition else store.generate_msgdef(type_name)[0]
            return text, store.hash_rihs01(type_name)
        # a copy of a message needs no definition that can be read here
        except (UserError, TypesysError, KeyError):
            definition = self._definitions.get(type_name)
            return (definition.data if definition else ''), UNKNOWN_TYPE_HASH

    def _build_store(self, type_name: str) -> Any:
        definition = self._definitions.get(type_name)
        reason = 'the recording has no definition of it'
        if definition is not None:
            try:
                return build_store_from_definition(type_name, definition)
            # the parser of definitions raises whatever its input leads it to
            except Exception as error:
                reason = f'its definition in the recording is not readable ({describe(error)})'
        for store in (self._load_distribution_store(), get_message_store()):
            if type_name in store.fielddefs:
                return store
        raise UserError(f'cannot decode messages of type {type_name}: {reason}')

    def _load_distribution_store(self) -> Any:
        name = f'ros2_{self._metadata.get("ros_distro", "")}'
        version = self._metadata.get('version')
        if isinstance(version, int) and version <= _LAST_HUMBLE_METADATA_VERSION:
            name = Stores.ROS2_HUMBLE.value
        known = {store.value: store for store in Stores}
        return get_typestore(known[name]) if name in known else get_message_store()


def build_store_from_definition(type_name: str, definition: Any) -> Any:
    """Build a type store from the message definition text of a recording.

    Raises:
        TypesysError: The text does not define the type.
    """
    store = get_typestore(Stores.EMPTY)
    if definition.format == MessageDefinitionFormat.MSG:
        store.register(get_types_from_msg(definition.data, type_name))
    else:
        separator = '=' * 80 + '\nIDL: '
        for part in definition.data.split(separator):
            text = part.split('\n', 1)[1] if separator in definition.data and part else part
            if text.strip():
                store.register(get_types_from_idl(text))
    if type_name not in store.fielddefs:
        raise TypesysError(f'no {type_name} in its own definition')
    return store
