"""Which topic an image comes from, and how it is packed: one rule for node and launch files.

Imports no ROS. Source: image_transport: `<base topic>/compressed` is that of CompressedImage.
"""

from __future__ import annotations

from typing import NamedTuple

_SUFFIX = "/compressed"


class ImageTopic(NamedTuple):
    """An image topic of image_transport."""

    base: str  # what the camera calls its image; camera_info lies beside it
    is_compressed: bool

    @classmethod
    def of(cls, topic: str, transport: str) -> ImageTopic:
        """Return the topic that a user means.

        Args:
            topic: as given; one that ends in /compressed is compressed, whatever `transport`.
            transport: raw, compressed, or "" = not given.
        """
        is_named = topic.endswith(_SUFFIX)
        return cls(topic.removesuffix(_SUFFIX), is_named or transport == "compressed")

    @property
    def name(self) -> str:
        """The topic that carries the messages."""
        return self.base + (_SUFFIX if self.is_compressed else "")

    @property
    def transport(self) -> str:
        """The value of the parameter image_transport."""
        return "compressed" if self.is_compressed else "raw"

    @property
    def camera_info(self) -> str:
        """The calibration topic beside it."""
        return "/".join([*self.base.split("/")[:-1], "camera_info"])
