# Copyright 2026 seg_perception maintainers
# SPDX-License-Identifier: Apache-2.0
"""Makes `python3 -m seg_perception` the same as the seg_perception command."""

import sys

from seg_perception.cli import main

sys.exit(main())
