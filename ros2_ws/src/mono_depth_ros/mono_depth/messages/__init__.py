"""ROS messages to arrays, whoever made them: rclpy, or rosbags without a ROS installation."""
