# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the node says about its ground products on /diagnostics."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from seg_perception.ros.diagnostics import ERROR, OK, RECENT_S, WARN, format_number
from seg_perception.ros.ground_trouble import EXPIRED, KINDS, GroundSnapshot
from seg_perception.ros.occupancy_parameters import GroundSettings


def judge_ground(snapshot: GroundSnapshot) -> tuple[bytes, str]:
    """Return (level, message): ERROR while all is unknown, WARN after a trouble."""
    current = '; '.join(snapshot.current[kind] for kind in KINDS if kind in snapshot.current)
    if EXPIRED in snapshot.current:
        return ERROR, current
    if current:
        return WARN, current
    if snapshot.last_age_s <= RECENT_S:
        return WARN, f'a moment ago: {snapshot.last_text}'
    if snapshot.frames == 0:
        return OK, 'nothing computed yet: nobody listens, or no camera image came'
    return OK, 'mapping the ground'


def build_ground_status(
    snapshot: GroundSnapshot,
    settings: GroundSettings,
    camera_info_topic: str,
    node_name: str,
    publisher_count: int,
    camera: str = '',
) -> DiagnosticStatus:
    """Return the status '<node name>: ground occupancy', with the name of the camera if any."""
    level, message = judge_ground(snapshot)
    values = [
        ('camera_info topic', camera_info_topic),
        ('publishers on camera_info topic', str(publisher_count)),
        ('camera pose from', 'tf' if settings.pose is None else 'parameters'),
        ('frame of the grids', settings.grid_frame),
        ('fusion', settings.ego_motion if settings.fusion else 'off'),
        ('frames mapped', str(snapshot.frames)),
        ('ground p50 (ms)', format_number(snapshot.ground_p50_ms)),
    ]
    values += [(f'trouble {kind}', str(snapshot.troubles[kind])) for kind in KINDS]
    values.append(('last trouble', snapshot.last_text or 'none'))
    return DiagnosticStatus(
        level=level,
        name=f'{node_name.lstrip("/")}: ground occupancy {camera}'.rstrip(),
        message=message,
        values=[KeyValue(key=key, value=value) for key, value in values],
    )
