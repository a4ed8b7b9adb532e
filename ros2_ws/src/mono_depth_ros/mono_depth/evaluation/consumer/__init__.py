"""What a consumer makes of the depth: a trajectory and a mesh by Open3D."""
