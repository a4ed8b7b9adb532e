"""Whether a network takes near for far, which no look at a file of weights can tell.

Networks of relative and of metric depth have tensors of the same names and shapes, and mean the
opposite by their numbers: weights of the one behind an entry of the other load without an error.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from mono_depth.data import OutputKind
from mono_depth.errors import FrameError, ModelError
from mono_depth.models.check import CheckImage, rank_correlation, synthetic_image
from mono_depth.models.protocol import DepthModel

# Measured on the built-in image: nano 0.98 and FastDepth 0.93, so that they are at -0.98 and -0.93
# behind an entry of another kind. Random weights of eight families: -0.28 to 0.77. FastDepth with
# its colours swapped or normalised otherwise: 0.33 to 0.94; given 0..255 in place of 0..1, its
# depth is none any more: -0.62. On single real images both go down to -0.51, which is why no image
# of a user is looked at. The other weights of the zoo were not at hand.
_OPPOSITE = -0.7
_LEAST_VALUES = 100


def check_order(model: DepthModel) -> None:
    """Run a model once on the built-in image.

    What fails on that image is left to the frames, which say so themselves.

    Raises:
        ModelError: it says the opposite of what its entry claims.
    """
    if model.kind is OutputKind.COMPLETION:
        return
    image = _image()
    try:
        prediction = model.infer(torch.from_numpy(image.rgb).to(model.device), image.intrinsics)
    except FrameError:
        return
    if torch.unique(prediction.values).numel() < _LEAST_VALUES:
        return  # ties have no order
    order = rank_correlation(prediction.values.float().cpu(), image.depth_m, prediction.kind)
    if order < _OPPOSITE:
        raise ModelError(
            f"{model.name} takes near for far (rank correlation {order:.2f} with the true depth of "
            f"the built-in image): its entry says kind {model.kind.value}, its weights are of "
            "another kind, such as those of relative depth in place of metric ones"
        )


@lru_cache(maxsize=1)
def _image() -> CheckImage:
    return synthetic_image()
