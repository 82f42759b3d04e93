# SPDX-License-Identifier: Apache-2.0
"""Episodes as rosbag2 directories: written, read, mended, replayed and shown, without ROS."""
