"""Depth that stays calm over time: the past, moved along with the camera, joins the present."""
