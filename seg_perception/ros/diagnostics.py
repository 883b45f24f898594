# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What the node says about itself on /diagnostics."""

from __future__ import annotations

import math
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from seg_perception.ros.statistics import Percentiles, Snapshot

# For how long a bad frame, a failed publish or an odd stamp keeps the level at WARN.
RECENT_S = 10.0
# Beyond this the stamp and the node's clock are not the same clock.
MAX_PLAUSIBLE_AGE_MS = 60_000.0

OK = DiagnosticStatus.OK
WARN = DiagnosticStatus.WARN
ERROR = DiagnosticStatus.ERROR


@dataclass(frozen=True)
class EngineFacts:
    """What runs the network; all '' before the node is configured."""

    model: str = ''
    backend: str = ''
    precision: str = ''
    description: str = ''
    fallback_reason: str = ''
    build_status: str = ''
    cache_problem: str = ''
    label_space: str = ''


@dataclass(frozen=True)
class NodeFacts:
    """The node's own state and that of one camera, as far as diagnostics judge it."""

    state: str
    engine: EngineFacts
    image_topic: str = ''
    publisher_count: int = 0
    stale_timeout_s: float = 2.0
    incompatible_qos: str = ''
    configure_error: str = ''


def judge(snapshot: Snapshot, facts: NodeFacts) -> tuple[bytes, str]:
    """Return (level, message) of the node: the worst finding first, then the others."""
    if facts.state != 'active':
        if facts.configure_error:
            return ERROR, f'cannot be configured: {facts.configure_error}'
        return OK, f'{facts.state}, not segmenting'
    errors = list_errors(snapshot, facts)
    warnings = list_warnings(snapshot, facts)
    if errors:
        return ERROR, '; '.join(errors + warnings)
    if warnings:
        return WARN, '; '.join(warnings)
    if snapshot.counts.used == 0:
        return OK, 'waiting for the first camera image'
    return OK, f'segmenting at {snapshot.rate_out_hz:.1f} Hz'


def list_errors(snapshot: Snapshot, facts: NodeFacts) -> list[str]:
    """Return what keeps the node from working at all: images come, and none gives a mask."""
    since_s = min(snapshot.last_used_age_s, snapshot.active_for_s)
    images_come = snapshot.last_received_age_s <= facts.stale_timeout_s
    if not images_come or since_s <= facts.stale_timeout_s:
        return []
    reason = 'no camera image could be used'
    if snapshot.last_failed_age_s <= since_s:
        reason = 'the network fails on every camera image'
    elif snapshot.last_bad_age_s > since_s:
        # neither bad nor failed: a frame is being computed for very long
        return []
    return [f'{reason} for {since_s:.1f} s: {snapshot.last_error}']


def list_warnings(snapshot: Snapshot, facts: NodeFacts) -> list[str]:
    """Return what a user should look at while the node goes on."""
    warnings = []
    silent_s = min(snapshot.last_received_age_s, snapshot.active_for_s)
    if silent_s > facts.stale_timeout_s:
        warnings.append(
            f'no camera image on {facts.image_topic} for {silent_s:.1f} s '
            f'({facts.publisher_count} publishers)'
        )
    if facts.publisher_count > 1:
        warnings.append(
            f'{facts.publisher_count} publishers on {facts.image_topic}: the masks of all are on '
            'one topic'
        )
    if facts.incompatible_qos:
        warnings.append(facts.incompatible_qos)
    if facts.engine.build_status:
        warnings.append(f'{facts.engine.build_status}, running on {facts.engine.backend}')
    if facts.engine.cache_problem:
        warnings.append(facts.engine.cache_problem)
    if facts.engine.fallback_reason:
        warnings.append(f'fallback: {facts.engine.fallback_reason}')
    if snapshot.last_bad_age_s <= RECENT_S:
        warnings.append(f'{snapshot.counts.bad} bad images, last: {snapshot.last_error}')
    elif snapshot.last_failed_age_s <= RECENT_S:
        warnings.append(f'{snapshot.counts.failed} failed images, last: {snapshot.last_error}')
    if snapshot.last_publish_failure_age_s <= RECENT_S:
        warnings.append(f'{snapshot.counts.publish_failures} messages could not be published')
    if snapshot.last_stamp_problem_age_s <= RECENT_S:
        warnings.append(f'{snapshot.counts.stamps_not_increasing} stamps not increasing')
    if abs(snapshot.stamp_age_ms.p50) > MAX_PLAUSIBLE_AGE_MS:
        warnings.append("camera stamps are not on this node's clock (a bag without use_sim_time?)")
    return warnings


def list_values(snapshot: Snapshot, facts: NodeFacts) -> list[tuple[str, str]]:
    """Return the key and value pairs, in the order in which they are shown."""
    counts, engine = snapshot.counts, facts.engine
    values = [
        ('state', facts.state),
        ('image topic', facts.image_topic),
        ('publishers on image topic', str(facts.publisher_count)),
        ('rate in (Hz)', format_number(snapshot.rate_in_hz)),
        ('rate out (Hz)', format_number(snapshot.rate_out_hz)),
        ('frames received', str(counts.received)),
        ('frames used', str(counts.used)),
        ('frames dropped', str(counts.dropped)),
        ('frames bad', str(counts.bad)),
        ('frames failed', str(counts.failed)),
        ('stamps not increasing', str(counts.stamps_not_increasing)),
        ('publish failures', str(counts.publish_failures)),
    ]
    values += list_percentiles('queue', snapshot.queue_ms)
    values += list_percentiles('read', snapshot.read_ms)
    values += list_percentiles('inference', snapshot.inference_ms)
    values += list_percentiles('decode', snapshot.decode_ms)
    if snapshot.panoptic_ms.p99 > 0:
        values += list_percentiles('panoptic', snapshot.panoptic_ms)
    values += list_percentiles('publish', snapshot.publish_ms)
    values += list_percentiles('total', snapshot.total_ms)
    values += list_percentiles('age of stamp', snapshot.stamp_age_ms)
    values += [
        ('last image (s ago)', format_number(snapshot.last_received_age_s)),
        ('model', engine.model),
        ('label space', engine.label_space),
        ('backend', engine.backend),
        ('precision', engine.precision),
        ('engine', engine.description),
        ('engine build', engine.build_status or 'none'),
        ('fallback', engine.fallback_reason or 'no'),
        ('last error', facts.configure_error or snapshot.last_error or 'none'),
    ]
    return values


def list_percentiles(name: str, percentiles: Percentiles) -> list[tuple[str, str]]:
    """Return the three values of a measured time."""
    return [
        (f'{name} p50 (ms)', format_number(percentiles.p50)),
        (f'{name} p95 (ms)', format_number(percentiles.p95)),
        (f'{name} p99 (ms)', format_number(percentiles.p99)),
    ]


def format_number(value: float) -> str:
    """Return a figure with two decimals, 'never measured' ones as 'n/a'."""
    return f'{value:.2f}' if math.isfinite(value) else 'n/a'


def build_status(
    snapshot: Snapshot, facts: NodeFacts, node_name: str, hardware_id: str, camera: str = ''
) -> DiagnosticStatus:
    """Return the status of one camera for /diagnostics.

    Args:
        snapshot: its counters and times.
        facts: the node's state.
        node_name: full name of the node.
        hardware_id: the camera's frame_id, '' before its first image.
        camera: its name. The status is called '<node name>: segmentation', and with a name
            '<node name>: segmentation <camera>'.

    """
    level, message = judge(snapshot, facts)
    return DiagnosticStatus(
        level=level,
        name=f'{node_name.lstrip("/")}: segmentation {camera}'.rstrip(),
        message=message,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in list_values(snapshot, facts)],
    )
