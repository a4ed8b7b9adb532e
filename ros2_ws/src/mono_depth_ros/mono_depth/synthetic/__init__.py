"""Synthetic cameras: procedural scenes with exact depth, poses and sparse points.

`camera.SyntheticCamera` is a recording, `dataset.training_views` gives training pictures,
`render.render` one picture of a `scene.make_scene` from any pose. A picture goes through
these modules in order: scene (builder, solids, materials), visibility (which solid a ray hits),
surfaces (normal and colour there), light and shading, sensor. NumPy and OpenCV are enough.
"""
