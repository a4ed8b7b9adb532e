"""What many images of one camera show that one alone does not."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

_SAMPLES = 2048  # pixels of an image, about
_FRAMES = 30  # before anything is said
_DARK = 128  # nothing brighter: a covered lens says nothing about its bits
_USUAL_BITS = (8, 10, 12, 14)


class ImageWatch:
    """Remembers how bright 16 bit images are, and which JPEGs had no end.

    For one thread and one camera. `decode_rgb` shows it what it decodes.
    """

    def __init__(self) -> None:
        self.unended = 0  # JPEGs that were complete but for their end marker
        self._frames = self._brightest = 0

    def see_words(self, words: npt.NDArray[Any], significant_bits: int) -> None:
        """Look at the samples of a 16 bit image, (rows, W) or (rows, W, C), of any byte order."""
        if significant_bits != 16:
            self._frames = self._brightest = 0
            return
        step = max(1, int((words.shape[0] * words.shape[1] / _SAMPLES) ** 0.5))
        self._brightest = max(self._brightest, int(words[::step, ::step].max()))
        self._frames += 1

    def see_unended_jpeg(self) -> None:
        """Count an image."""
        self.unended += 1

    @property
    def looks_like_bits(self) -> int:
        """The bits that the camera seems to fill, 0 = all 16, or too few images, or too dark."""
        if self._frames < _FRAMES or self._brightest < _DARK:
            return 0
        fitting = [bits for bits in _USUAL_BITS if self._brightest < 1 << bits]
        return fitting[0] if fitting else 0

    @property
    def doubt(self) -> str:
        """What a user should know, "" = nothing."""
        bits = self.looks_like_bits
        if not bits:
            return ""
        return (
            f"images of 16 bits never exceed {(1 << bits) - 1}: they look like {bits} bits; "
            f"set image.significant_bits: {bits}"
        )
