# SPDX-License-Identifier: Apache-2.0
"""Episodes as rosbag2 directories: written, read, recovered and replayed, without ROS."""
