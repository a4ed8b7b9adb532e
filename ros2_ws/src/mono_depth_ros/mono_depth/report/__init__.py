"""What an image or a short video says about a room: lengths with intervals, or "not seen"."""
