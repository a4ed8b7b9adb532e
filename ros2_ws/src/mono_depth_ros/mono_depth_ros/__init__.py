"""The ROS 2 node around `mono_depth`: messages, parameters, lifecycle, diagnostics."""
