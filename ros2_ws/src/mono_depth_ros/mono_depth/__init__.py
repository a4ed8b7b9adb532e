"""Metric depth from one camera. Free of ROS: numpy, torch and OpenCV only."""

__version__ = "0.1.0"
