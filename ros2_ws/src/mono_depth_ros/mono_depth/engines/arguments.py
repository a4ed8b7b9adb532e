"""The arguments and outputs of networks: tensors, and constants between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F

from mono_depth.engines.protocol import Tensors

Arguments = tuple[object, ...]


def shapes(arguments: Arguments) -> tuple[object, ...]:
    """Return what an engine is built for: shapes of tensors, and constants."""
    return tuple(item.shape if isinstance(item, torch.Tensor) else item for item in arguments)


def tensors(arguments: Arguments) -> Tensors:
    """Return the arguments that are tensors."""
    return tuple(item for item in arguments if isinstance(item, torch.Tensor))


def cloned(arguments: Arguments) -> Arguments:
    """Return copies that nobody changes and that a tracer takes."""
    with torch.inference_mode(False):
        return tuple(item.clone() if isinstance(item, torch.Tensor) else item for item in arguments)


def examples_like(like: Arguments, images: Sequence[Arguments]) -> list[Arguments]:
    """Return an example of the shapes of `like` for each image.

    Args:
        like: of a call, with one image or several.
        images: of calls with one image each, maybe of another size. In an example with several
            images they follow one another, so that no two are alike where there are enough.
    """
    count = max((len(item) for item in tensors(like) if item.ndim), default=1)
    if count == 1:
        return [resized(item, like) for item in images]
    alone = tuple(item[:1] if _is_batch(item, count) else item for item in like)
    singles = [resized(item, alone) for item in images]
    turns = [[*singles[first:], *singles[:first]] for first in range(len(singles))]
    return [
        tuple(
            _joined([turn[index % len(turn)][place] for index in range(count)])
            if _is_batch(item, count)
            else item
            for place, item in enumerate(like)
        )
        for turn in turns
    ]


def _is_batch(item: object, count: int) -> TypeGuard[torch.Tensor]:
    return isinstance(item, torch.Tensor) and item.ndim > 0 and len(item) == count


def _joined(items: Sequence[object]) -> torch.Tensor:
    return torch.cat([item for item in items if isinstance(item, torch.Tensor)])


def resized(example: Arguments, like: Arguments) -> Arguments:
    """Return the maps of `example` at the sizes of `like`, and what else `like` has."""
    pairs = zip(example, like, strict=False)
    return (*(_resized_one(old, new) for old, new in pairs), *like[len(example) :])


def _resized_one(old: object, new: object) -> object:
    if not isinstance(old, torch.Tensor) or not isinstance(new, torch.Tensor):
        return new
    if old.shape == new.shape:
        return old
    if old.ndim != 4 or old.shape[:2] != new.shape[:2]:
        return new
    return F.interpolate(old, new.shape[-2:], mode="nearest")


def output_structure(result: Any) -> tuple[bool, ...] | None:  # noqa: ANN401
    """Return which outputs are tensors and not None; None = the output is one tensor."""
    if isinstance(result, torch.Tensor):
        return None
    return tuple(item is not None for item in result)


def restructure(outputs: Tensors, form: tuple[bool, ...] | None) -> Any:  # noqa: ANN401
    """Return the outputs in the form in which the network itself returns them."""
    if form is None:
        return outputs[0]
    given = iter(outputs)
    return tuple(next(given) if is_tensor else None for is_tensor in form)
