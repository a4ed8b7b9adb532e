"""What every node of this package asks of rclpy."""
