"""Models with pseudo-random weights: their speed is that of the trained ones."""

from __future__ import annotations

from functools import partial

import torch

from mono_depth.config import CompletionConfig
from mono_depth.errors import ModelError
from mono_depth.models.family import ModelRequest
from mono_depth.models.family_table import family_of
from mono_depth.models.loading import load_model
from mono_depth.models.mirrored import MirrorAveraged
from mono_depth.models.protocol import LoadedModel
from mono_depth.models.store.registry import ModelEntry


def random_model(entry: ModelEntry, device: torch.device) -> LoadedModel:
    """Build the model of a registry entry without its weights.

    Raises:
        ModelError: the family is a file of the user's, which cannot be made up.
    """
    make = family_of(entry).make_random
    if make is None:
        raise ModelError(f"{entry.name}: a network of family {entry.family} cannot be made up")
    request = ModelRequest(
        entry=entry,
        device=device,
        completion=CompletionConfig(),
        load_guess=partial(load_model, device=device),
    )
    model = make(request)
    return MirrorAveraged(model) if entry.average_mirrored else model
