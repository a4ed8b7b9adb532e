"""Everything that has images, as frames for a pipeline: files, videos, bags, cameras."""
