# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Names of topics, frames and metadata entries in the recordings that this package makes."""

from __future__ import annotations

IMAGE_TYPE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE_TYPE = 'sensor_msgs/msg/CompressedImage'
ODOMETRY_TYPE = 'nav_msgs/msg/Odometry'
TF_TYPE = 'tf2_msgs/msg/TFMessage'
CAMERA_INFO_TYPE = 'sensor_msgs/msg/CameraInfo'

IMAGE_TOPIC = '/camera/image_raw'
COMPRESSED_IMAGE_TOPIC = '/camera/image_raw/compressed'
CAMERA_INFO_TOPIC = '/camera/camera_info'
ODOMETRY_TOPIC = '/odom'
TF_TOPIC = '/tf'
STATIC_TF_TOPIC = '/tf_static'

MASK_TOPIC = '/segnext/mask'

GROUND_TRUTH_NAMESPACE = '/ground_truth/'
LABEL_TOPIC = '/ground_truth/label'
PANOPTIC_TOPIC = '/ground_truth/panoptic'
DEPTH_TOPIC = '/ground_truth/depth'
GROUND_CLASSES_TOPIC = '/ground_truth/ground_classes'
OBJECTS_TOPIC = '/ground_truth/objects'

ODOM_FRAME = 'odom'
BASE_FRAME = 'base_link'
CAMERA_FRAME = 'camera_optical_frame'

# keys of the recording's custom_data
LABEL_SPACE_KEY = 'seg_perception.label_space'
LABEL_SPACE_JSON_KEY = 'seg_perception.label_space_json'
SOURCE_KEY = 'seg_perception.source'
# 'false' where an object may have another true instance number in each image
INSTANCES_TRACKED_KEY = 'seg_perception.instances_tracked'
# JSON object: name of a labelled Cityscapes image, without its ending -> stamp in ns
FRAME_STAMPS_KEY = 'seg_perception.frame_stamps'
# of masks that `bag label` wrote
MASK_TOPIC_KEY = 'seg_perception.mask_topic'
MASK_SPACE_KEY = 'seg_perception.mask_label_space'
MASK_SPACE_JSON_KEY = 'seg_perception.mask_label_space_json'
MASK_MODEL_KEY = 'seg_perception.mask_model'
