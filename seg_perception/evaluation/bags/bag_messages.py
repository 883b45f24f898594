# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""ROS messages as rosbags objects: built from NumPy arrays, without a ROS installation.

The message types are the common ones of every ROS 2 distribution from Humble on (their type
hashes are equal in Humble, Jazzy and Kilted).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from rosbags.typesys import Stores, get_typestore

NANOSECONDS_PER_SECOND = 1_000_000_000

# encoding: (dtype, channels); REP-118 for the depth encoding
_IMAGE_ENCODINGS = {
    'rgb8': (np.uint8, 3),
    'bgr8': (np.uint8, 3),
    'mono8': (np.uint8, 1),
    '32SC1': (np.int32, 1),
    '32FC1': (np.float32, 1),
}


@lru_cache(maxsize=1)
def get_message_store() -> Any:
    """Return the rosbags type store that every message of this package is built from."""
    return get_typestore(Stores.ROS2_JAZZY)


def get_message_type(type_name: str) -> Any:
    """Return the rosbags dataclass of a message type such as `sensor_msgs/msg/Image`."""
    return get_message_store().types[type_name]


def stamp_to_ns(stamp: Any) -> int:
    """Return a builtin_interfaces/Time (of rclpy or rosbags) in ns."""
    return stamp.sec * NANOSECONDS_PER_SECOND + stamp.nanosec


def make_time(stamp_ns: int) -> Any:
    """Build a builtin_interfaces/Time from ns."""
    seconds, nanoseconds = divmod(stamp_ns, NANOSECONDS_PER_SECOND)
    return get_message_type('builtin_interfaces/msg/Time')(sec=seconds, nanosec=nanoseconds)


def make_header(stamp_ns: int, frame_id: str) -> Any:
    """Build a std_msgs/Header."""
    return get_message_type('std_msgs/msg/Header')(stamp=make_time(stamp_ns), frame_id=frame_id)


def make_image(pixels: npt.NDArray, encoding: str, stamp_ns: int, frame_id: str) -> Any:
    """Build a sensor_msgs/Image without row padding.

    Args:
        pixels: (H, W) or (H, W, 3) array whose dtype and channels fit the encoding.
        encoding: One of rgb8, bgr8, mono8, 32SC1, 32FC1.
        stamp_ns: Time of the header, ns.
        frame_id: Optical frame of the camera.

    Raises:
        ValueError: The array does not fit the encoding.
    """
    dtype, channels = _IMAGE_ENCODINGS[encoding]
    pixels_channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != dtype or pixels_channels != channels:
        raise ValueError(
            f'encoding {encoding} needs {np.dtype(dtype)} pixels of {channels} channels, '
            f'got {pixels.dtype} of shape {pixels.shape}'
        )
    contiguous = np.ascontiguousarray(pixels)
    height_px, width_px = contiguous.shape[:2]
    return get_message_type('sensor_msgs/msg/Image')(
        header=make_header(stamp_ns, frame_id),
        height=height_px,
        width=width_px,
        encoding=encoding,
        is_bigendian=0,
        step=width_px * channels * contiguous.itemsize,
        data=contiguous.reshape(-1).view(np.uint8),
    )


def make_compressed_image(
    encoded: bytes, file_format: str, stamp_ns: int, frame_id: str, grey: bool = False
) -> Any:
    """Build a sensor_msgs/CompressedImage from the bytes of a JPEG or PNG file.

    The format field follows image_transport: `bgr8; jpeg compressed bgr8`, which its decoders
    read as 'the decoded file is bgr8 and shall be handed out as bgr8'.

    Args:
        encoded: Bytes of the whole file.
        file_format: 'jpeg' or 'png'.
        stamp_ns: Time of the header, ns.
        frame_id: Optical frame of the camera.
        grey: The file has one channel.
    """
    encoding = 'mono8' if grey else 'bgr8'
    return get_message_type('sensor_msgs/msg/CompressedImage')(
        header=make_header(stamp_ns, frame_id),
        format=f'{encoding}; {file_format} compressed {encoding}',
        data=np.frombuffer(encoded, dtype=np.uint8),
    )


def make_camera_info(
    image_hw: tuple[int, int],
    camera_matrix: npt.ArrayLike,
    stamp_ns: int,
    frame_id: str,
    distortion_model: str = 'plumb_bob',
    distortion: npt.ArrayLike = (0.0, 0.0, 0.0, 0.0, 0.0),
    rectification: npt.ArrayLike | None = None,
    projection: npt.ArrayLike | None = None,
) -> Any:
    """Build a sensor_msgs/CameraInfo (REP-104).

    Args:
        image_hw: Height and width of the camera's images, px.
        camera_matrix: (3, 3) intrinsic matrix K, px.
        stamp_ns: Time of the header, ns.
        frame_id: Optical frame of the camera.
        distortion_model: Name of the lens model.
        distortion: Parameters of the lens model.
        rectification: (3, 3) matrix R; identity when None.
        projection: (3, 4) matrix P, px; K and a zero column when None.
    """
    k = np.asarray(camera_matrix, dtype=np.float64).reshape(3, 3)
    r = np.eye(3) if rectification is None else np.asarray(rectification, dtype=np.float64)
    p = np.zeros((3, 4))
    p[:, :3] = k
    if projection is not None:
        p = np.asarray(projection, dtype=np.float64)
    return get_message_type('sensor_msgs/msg/CameraInfo')(
        header=make_header(stamp_ns, frame_id),
        height=image_hw[0],
        width=image_hw[1],
        distortion_model=distortion_model,
        d=np.asarray(distortion, dtype=np.float64).reshape(-1),
        k=k.reshape(-1),
        r=r.reshape(-1),
        p=p.reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=get_message_type('sensor_msgs/msg/RegionOfInterest')(
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        ),
    )


def compute_quaternion(rotation: npt.ArrayLike) -> tuple[float, float, float, float]:
    """Return the unit quaternion (x, y, z, w), w >= 0, of a (3, 3) rotation matrix.

    Shepperd's method: the largest of the four components is taken from the diagonal, so that
    no division is by a small number.
    """
    m = np.asarray(rotation, dtype=np.float64)
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    largest = int(np.argmax([m[0, 0], m[1, 1], m[2, 2], trace]))
    q = np.empty(4)
    if largest == 3:
        q[3] = 1.0 + trace
        q[0] = m[2, 1] - m[1, 2]
        q[1] = m[0, 2] - m[2, 0]
        q[2] = m[1, 0] - m[0, 1]
    else:
        i, j, k = largest, (largest + 1) % 3, (largest + 2) % 3
        q[i] = 1.0 + m[i, i] - m[j, j] - m[k, k]
        q[j] = m[i, j] + m[j, i]
        q[k] = m[i, k] + m[k, i]
        q[3] = m[k, j] - m[j, k]
    q /= np.linalg.norm(q)
    if q[3] < 0.0:
        q = -q
    return float(q[0]), float(q[1]), float(q[2]), float(q[3])


def make_pose(matrix: npt.ArrayLike) -> Any:
    """Build a geometry_msgs/Pose from a (4, 4) homogeneous matrix, metres."""
    m = np.asarray(matrix, dtype=np.float64)
    x, y, z, w = compute_quaternion(m[:3, :3])
    return get_message_type('geometry_msgs/msg/Pose')(
        position=get_message_type('geometry_msgs/msg/Point')(
            x=float(m[0, 3]), y=float(m[1, 3]), z=float(m[2, 3])
        ),
        orientation=get_message_type('geometry_msgs/msg/Quaternion')(x=x, y=y, z=z, w=w),
    )


def make_transforms(
    matrix: npt.ArrayLike, stamp_ns: int, parent_frame_id: str, child_frame_id: str
) -> Any:
    """Build a tf2_msgs/TFMessage of one transform.

    Args:
        matrix: (4, 4) homogeneous matrix that takes child coordinates to the parent, metres.
        stamp_ns: Time of the header, ns.
        parent_frame_id: Frame of the header.
        child_frame_id: Frame whose pose this is.
    """
    pose = make_pose(matrix)
    transform = get_message_type('geometry_msgs/msg/Transform')(
        translation=make_vector(pose.position.x, pose.position.y, pose.position.z),
        rotation=pose.orientation,
    )
    stamped = get_message_type('geometry_msgs/msg/TransformStamped')(
        header=make_header(stamp_ns, parent_frame_id),
        child_frame_id=child_frame_id,
        transform=transform,
    )
    return get_message_type('tf2_msgs/msg/TFMessage')(transforms=[stamped])


def make_vector(x: float, y: float, z: float) -> Any:
    """Build a geometry_msgs/Vector3."""
    return get_message_type('geometry_msgs/msg/Vector3')(x=float(x), y=float(y), z=float(z))


def make_odometry(
    odom_from_base: npt.ArrayLike, speed_mps: float, yaw_rate_radps: float, stamp_ns: int
) -> Any:
    """Build a nav_msgs/Odometry of base_link in odom (REP-105).

    Args:
        odom_from_base: (4, 4) pose of base_link in odom, metres.
        speed_mps: Forward speed in base_link.
        yaw_rate_radps: Turn rate about base_link's z.
        stamp_ns: Time of the header, ns.
    """
    covariance = np.zeros(36)
    twist = get_message_type('geometry_msgs/msg/Twist')(
        linear=make_vector(speed_mps, 0.0, 0.0), angular=make_vector(0.0, 0.0, yaw_rate_radps)
    )
    return get_message_type('nav_msgs/msg/Odometry')(
        header=make_header(stamp_ns, 'odom'),
        child_frame_id='base_link',
        pose=get_message_type('geometry_msgs/msg/PoseWithCovariance')(
            pose=make_pose(odom_from_base), covariance=covariance
        ),
        twist=get_message_type('geometry_msgs/msg/TwistWithCovariance')(
            twist=twist, covariance=covariance.copy()
        ),
    )


def make_occupancy_grid(
    cells: npt.NDArray[np.int8],
    resolution_m: float,
    origin_xy_m: tuple[float, float],
    stamp_ns: int,
    frame_id: str,
) -> Any:
    """Build a nav_msgs/OccupancyGrid whose cell axes are the frame's axes.

    Args:
        cells: (rows, columns) int8; rows go along +y, columns along +x, -1 is unknown.
        resolution_m: Edge of a cell.
        origin_xy_m: Position of the outer corner of cell (0, 0) in the frame.
        stamp_ns: Time of the header, ns.
        frame_id: Frame of the grid.
    """
    origin = np.eye(4)
    origin[:2, 3] = origin_xy_m
    rows, columns = cells.shape
    return get_message_type('nav_msgs/msg/OccupancyGrid')(
        header=make_header(stamp_ns, frame_id),
        info=get_message_type('nav_msgs/msg/MapMetaData')(
            map_load_time=make_time(stamp_ns),
            resolution=float(resolution_m),
            width=columns,
            height=rows,
            origin=make_pose(origin),
        ),
        data=np.ascontiguousarray(cells, dtype=np.int8).reshape(-1),
    )


@dataclass(frozen=True)
class BoxMarker:
    """A box to be shown by RViz: (4, 4) pose of its middle, edge lengths along its axes."""

    namespace: str
    marker_id: int
    pose: npt.NDArray[np.float64]
    size_m: tuple[float, float, float]
    color_rgb: tuple[int, int, int]


def make_markers(
    boxes: Sequence[BoxMarker], lifetime_ns: int, stamp_ns: int, frame_id: str
) -> Any:
    """Build a visualization_msgs/MarkerArray of boxes.

    Args:
        boxes: The boxes, told apart by namespace and id.
        lifetime_ns: How long a box is shown when no newer message has it.
        stamp_ns: Time of the headers, ns.
        frame_id: Frame of the poses.
    """
    markers = [make_marker(box, lifetime_ns, stamp_ns, frame_id) for box in boxes]
    return get_message_type('visualization_msgs/msg/MarkerArray')(markers=markers)


def make_marker(box: BoxMarker, lifetime_ns: int, stamp_ns: int, frame_id: str) -> Any:
    """Build the visualization_msgs/Marker of one box."""
    marker_type = get_message_type('visualization_msgs/msg/Marker')
    red, green, blue = (channel / 255.0 for channel in box.color_rgb)
    seconds, nanoseconds = divmod(lifetime_ns, NANOSECONDS_PER_SECOND)
    return marker_type(
        header=make_header(stamp_ns, frame_id),
        ns=box.namespace,
        id=box.marker_id,
        type=marker_type.CUBE,
        action=marker_type.ADD,
        pose=make_pose(box.pose),
        scale=make_vector(*box.size_m),
        color=get_message_type('std_msgs/msg/ColorRGBA')(r=red, g=green, b=blue, a=0.5),
        lifetime=get_message_type('builtin_interfaces/msg/Duration')(
            sec=seconds, nanosec=nanoseconds
        ),
        frame_locked=False,
        points=[],
        colors=[],
        texture_resource='',
        texture=get_message_type('sensor_msgs/msg/CompressedImage')(
            header=make_header(0, ''), format='', data=np.empty(0, dtype=np.uint8)
        ),
        uv_coordinates=[],
        text='',
        mesh_resource='',
        mesh_file=get_message_type('visualization_msgs/msg/MeshFile')(
            filename='', data=np.empty(0, dtype=np.uint8)
        ),
        mesh_use_embedded_materials=False,
    )
