# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""The camera images of a recording, read ahead in a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from seg_perception.errors import UserError
from seg_perception.evaluation.bags.bag_reader import BagReader, RawMessage, read_header_stamp_ns
from seg_perception.evaluation.bags.topics import COMPRESSED_IMAGE_TYPE
from seg_perception.perception.frame import Frame, FrameError, FrameReader

READ_AHEAD = 2


@dataclass(frozen=True)
class ReadFrame:
    """One image of a recording, or why there is none.

    Attributes:
        index: of the image in its topic.
        stamp_ns: of its header, 0 where that could not be read.
        frame: the image; None where it cannot be read.
        reason: why not.
        read_ms: decoding of the message and of the image.
    """

    index: int
    stamp_ns: int
    frame: Frame | None
    reason: str = ''
    read_ms: float = 0.0


def read_camera_frame(frame_reader: FrameReader, type_name: str, message: Any) -> Frame:
    """Return the frame of an Image or CompressedImage message; raises FrameError."""
    if type_name == COMPRESSED_IMAGE_TYPE:
        return frame_reader.read_compressed(message)
    return frame_reader.read_image(message)


class FrameSource:
    """Iterates over images; each stays valid until `lifetime` later ones were handed out.

    Args:
        reader: the open recording; used by the reading thread alone until the iteration ends.
        messages: of one image topic, in order.
        first_index: index of the first one.
        lifetime: how many images whoever iterates may hold.
    """

    def __init__(
        self,
        reader: BagReader,
        messages: Iterable[RawMessage],
        first_index: int = 0,
        lifetime: int = 4,
    ) -> None:
        self._reader = reader
        self._messages = messages
        self._first_index = first_index
        # Decoded JPEGs lie in buffers of their reader.
        self._frame_readers = [FrameReader() for _ in range(lifetime + READ_AHEAD + 2)]
        self._queue: queue.Queue[ReadFrame | BaseException | None] = queue.Queue(READ_AHEAD)
        self._is_stopped = threading.Event()

    def __iter__(self) -> Iterator[ReadFrame]:
        thread = threading.Thread(target=self._fill, name='frame_source', daemon=True)
        thread.start()
        try:
            while (item := self._queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._is_stopped.set()
            # Whoever waits to put its item finds room, and sees that it is to end.
            while not self._queue.empty():
                self._queue.get_nowait()
            thread.join()

    def _fill(self) -> None:
        try:
            for index, raw in enumerate(self._messages, self._first_index):
                self._put(self._read(index, raw))
                if self._is_stopped.is_set():
                    return
            self._put(None)
        # Raised again where the images are taken.
        except BaseException as error:
            self._put(error)

    def _put(self, item: ReadFrame | BaseException | None) -> None:
        while not self._is_stopped.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def _read(self, index: int, raw: RawMessage) -> ReadFrame:
        start_s = time.perf_counter()
        frame_reader = self._frame_readers[index % len(self._frame_readers)]
        try:
            message = self._reader.decode(raw)
            frame = read_camera_frame(frame_reader, raw.type_name, message)
        except (FrameError, UserError) as error:
            return ReadFrame(index, _read_stamp_ns(raw), None, str(error))
        read_ms = (time.perf_counter() - start_s) * 1e3
        return ReadFrame(index, frame.stamp_ns, frame, read_ms=read_ms)


def _read_stamp_ns(raw: RawMessage) -> int:
    try:
        return read_header_stamp_ns(raw.data)
    except ValueError:
        return 0
