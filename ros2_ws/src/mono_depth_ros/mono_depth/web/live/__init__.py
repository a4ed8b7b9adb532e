"""The newest frame of something that runs, in a browser."""
