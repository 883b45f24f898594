# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""What Nav2's side asks for, as read in its sources (humble, jazzy, main): parameters and QoS."""

from __future__ import annotations

from rclpy.qos import (
    QoSDurabilityPolicy,
    QoSProfile,
    QoSReliabilityPolicy,
    qos_profile_sensor_data,
)

LATCHED = QoSProfile(
    depth=1,
    reliability=QoSReliabilityPolicy.RELIABLE,
    durability=QoSDurabilityPolicy.TRANSIENT_LOCAL,
)
SENSOR_DATA = qos_profile_sensor_data

STATIC_LAYER = 'nav2_costmap_2d::StaticLayer'
OBSTACLE_LAYER = 'nav2_costmap_2d::ObstacleLayer'
VOXEL_LAYER = 'nav2_costmap_2d::VoxelLayer'
INFLATION_LAYER = 'nav2_costmap_2d::InflationLayer'
SEMANTIC_LAYER = 'semantic_segmentation_layer::SemanticSegmentationLayer'

MAX_VOXELS = 16


def declare(names_by_type: dict[type, str]) -> dict[str, type]:
    """Return the type of each name."""
    return {name: kind for kind, names in names_by_type.items() for name in names.split()}


COSTMAP = declare(
    {
        bool: 'rolling_window track_unknown_space trinary_costmap',
        int: 'width height lethal_cost_threshold',
        float: 'resolution update_frequency publish_frequency',
        str: 'global_frame robot_base_frame footprint',
        list: 'plugins',
    }
)
_OBSTACLE = {
    bool: 'enabled footprint_clearing_enabled',
    int: 'combination_method',
    # VoxelLayer has no min_obstacle_height of its own in humble
    float: 'min_obstacle_height max_obstacle_height',
    str: 'observation_sources',
}
LAYERS = {
    STATIC_LAYER: declare(
        {
            bool: 'enabled subscribe_to_updates map_subscribe_transient_local '
            'footprint_clearing_enabled',
            float: 'transform_tolerance',
            str: 'map_topic',
        }
    ),
    OBSTACLE_LAYER: declare(_OBSTACLE),
    VOXEL_LAYER: declare(_OBSTACLE)
    | declare(
        {
            bool: 'publish_voxel_map',
            int: 'z_voxels unknown_threshold mark_threshold',
            float: 'origin_z z_resolution',
        }
    ),
    SEMANTIC_LAYER: declare(
        {
            bool: 'enabled use_approximate_time_sync',
            int: 'combination_method sensor_data_depth',
            str: 'observation_sources',
        }
    ),
    INFLATION_LAYER: declare(
        {
            bool: 'enabled inflate_unknown inflate_around_unknown',
            float: 'inflation_radius cost_scaling_factor',
        }
    ),
}
OBSTACLE_SOURCE = declare(
    {
        bool: 'marking clearing inf_is_valid',
        float: 'min_obstacle_height max_obstacle_height obstacle_min_range obstacle_max_range '
        'raytrace_min_range raytrace_max_range observation_persistence expected_update_rate',
        str: 'topic sensor_frame data_type',
    }
)
SEMANTIC_SOURCE = declare(
    {
        bool: 'visualize_tile_map use_cost_selection',
        float: 'max_obstacle_distance min_obstacle_distance tile_map_decay_time '
        'observation_persistence expected_update_rate',
        str: 'segmentation_topic confidence_topic labels_topic pointcloud_topic',
        list: 'class_types',
    }
)
CLASS_TYPE = declare(
    {
        bool: 'dominant_priority',
        int: 'base_cost max_cost mark_confidence samples_to_max_cost',
        list: 'classes',
    }
)
MONITOR = declare(
    {
        bool: 'base_shift_correction',
        float: 'transform_tolerance stop_pub_timeout source_timeout',
        str: 'base_frame_id odom_frame_id cmd_vel_in_topic cmd_vel_out_topic',
        list: 'polygons observation_sources',
    }
)
MONITOR_POLYGON = declare(
    {
        bool: 'visualize enabled',
        float: 'time_before_collision simulation_time_step',
        str: 'type action_type footprint_topic',
    }
)
MONITOR_CLOUD = declare(
    {bool: 'enabled', float: 'min_height max_height', str: 'type topic'},
)
