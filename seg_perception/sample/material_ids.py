# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Numbers of the materials, and the layout of the street vector that the road shader reads."""

PLAIN, ROAD, ROAD_PLAIN, ZEBRA, STOP_LINE, SIDEWALK, KERB, GRASS, GRAVEL = range(9)
FACADE, ROOF, BRICK, CONCRETE, FENCE, BARK, LEAF, FOLIAGE = range(9, 17)
PAINT, GLASS, RUBBER, SIGN, LENS, CLOTH, METAL, CABIN, CARGO, SPOKES, WOOD = range(17, 28)

# Indices of the street vector.
(S_EDGE_LEFT, S_EDGE_RIGHT, S_LANE_START, S_LANE_WIDTH, S_LANES, S_CENTER, S_CENTER_STYLE,
 S_DASH, S_GAP, S_EDGE_LINE, S_ROAD_R, S_ROAD_G, S_ROAD_B, S_PATCHES, S_WEAR, S_WALK_STYLE,
 S_WALK_R, S_WALK_G, S_WALK_B, S_GRASS_R, S_GRASS_G, S_GRASS_B, S_DRY, S_PARK_LEFT,
 S_PARK_RIGHT, S_KERB, S_SIZE) = range(27)
