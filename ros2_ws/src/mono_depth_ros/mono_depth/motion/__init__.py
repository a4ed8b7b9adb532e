"""The motion of the camera, and of what it sees, from the images themselves."""
