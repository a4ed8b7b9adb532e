"""Synthetic cameras: procedural scenes with exact depth, poses and sparse points.

`camera.SyntheticCamera` is a recording, `dataset.training_views` gives training images,
`render.render` one image of a `scene.make_scene` from any pose. An image goes through
these modules in order: scene (builder, solids, materials), visibility (which solid a ray hits),
surfaces (normal and colour there), light and shading, sensor. NumPy and OpenCV are enough.
"""
