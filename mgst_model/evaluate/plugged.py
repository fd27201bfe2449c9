"""Detectors of others: any callable from faces to a score is evaluated like the networks of mgst.

A detector is a callable with a few attributes, see :class:`VideoDetector`. A factory, a function without arguments,
makes it. Its place is an entry point of the group ``mgst_model.detectors``, or ``package.module:factory``, or
``file.py:factory``.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mgst_data.augment.geometric import MARGIN_LIMITS
from mgst_data.core import UsageError
from mgst_data.core.errors import first_line
from mgst_data.core.registry import Registry
from mgst_model.networks.output import SegmentOutput

Takes = Literal["picture", "clip"]
Returns = Literal["probability", "logit"]
# Errors of the code of others that are reported as such.
_THEIRS = (ArithmeticError, AttributeError, LookupError, NameError, OSError, RuntimeError, TypeError, ValueError)


@runtime_checkable
class VideoDetector(Protocol):
    """The contract of a detector.

    Attributes:
        takes: "picture" for ``(b, 3, size, size)``, or "clip" for ``(b, frames, 3, size, size)``.
        size: Side of the frames, pixels.
        returns: "probability" of fake in [0, 1], or "logit", above 0 for fake.

    Further attributes are optional: ``frames`` (of a clip: its number of frames, which a clip needs; of a picture: how
    many frames are averaged for the score of a segment, 1 by default), ``least_frames`` (shortest clip that it accepts;
    ``frames`` by default), ``face_margin`` (margin around the face box, relative to its width and height; by default
    the whole crops of the shards), ``mean`` and ``std`` (three numbers each, subtracted from and divided into RGB in
    [0, 1]; 0 and 1 by default), and ``version`` (text that changes when its scores change; only for a detector that is
    no ``torch.nn.Module``).
    """

    takes: Takes
    size: int
    returns: Returns

    def __call__(self, frames: Tensor) -> Tensor:
        """Returns one number per picture or clip, ``(b,)`` or ``(b, 1)``; gets normalised RGB frames, float32."""
        ...


_CONTRACT = "see the contract in the documentation, page Share a detector"
DetectorFactory = Callable[[], VideoDetector]
VIDEO_DETECTORS: Registry[DetectorFactory] = Registry("mgst_model.detectors")


class PluggedNetwork(nn.Module):
    """Gives a detector the input that it needs, and its scores the form of a network of mgst.

    The score of a segment of pictures is the mean over their probabilities.

    Args:
        detector: The detector.
        takes: "picture" or "clip".
        returns: "probability" or "logit".
        mean: Subtracted from RGB in [0, 1].
        std: RGB is divided by it after that.
        place: Where the detector is from, for error messages.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        detector: Callable[[Tensor], Any],
        *,
        takes: Takes,
        returns: Returns,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        place: str,
    ) -> None:
        super().__init__()
        self.detector, self.takes, self.returns, self.place = detector, takes, returns, place
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, frames: Float[Tensor, "b t 3 h w"]) -> SegmentOutput:
        """Returns logits of segments and frames.

        Args:
            frames: RGB in [0, 1].

        Raises:
            UsageError: if the detector fails, or returns something else than one score per picture or clip.
        """
        b, t = frames.shape[:2]
        given = (frames - self.mean) / self.std
        given = given.flatten(0, 1) if self.takes == "picture" else given
        with _their_errors(self.place, "failed"):
            found = self.detector(given)
        scores = self._checked(found, len(given)).float()
        probability = scores.sigmoid() if self.returns == "logit" else scores
        every = probability.reshape(b, t) if self.takes == "picture" else probability[:, None].expand(b, t)
        return SegmentOutput(every.mean(dim=1).logit(), every.logit(), None, None)

    def _checked(self, found: Any, count: int) -> Float[Tensor, " n"]:
        if not isinstance(found, Tensor):
            raise self._wrong(f"returned a {type(found).__name__}, not a torch.Tensor", "return a tensor of scores")
        shape = tuple(found.shape)
        if shape not in ((count,), (count, 1)):
            hint = "return the score of the class fake, for example logits.softmax(dim=1)[:, 1]"
            raise self._wrong(f"returned the shape {shape} for {count} {self.takes}s, not ({count},)", hint)
        scores = found.reshape(count)
        if not bool(scores.isfinite().all()):
            raise self._wrong("returned scores that are not finite", "check its weights and its normalisation")
        if self.returns == "probability" and not bool(((scores >= 0) & (scores <= 1)).all()):
            span = f"{float(scores.min()):.3g} to {float(scores.max()):.3g}"
            raise self._wrong(f"returned probabilities from {span}", 'set returns = "logit", or apply a sigmoid')
        return scores

    def _wrong(self, what: str, hint: str) -> UsageError:
        return UsageError(f"the detector {what}", where=self.place, hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluggedDetector:
    """A detector of others, with its input. It is a :class:`mgst_model.networks.scorer.Scorer`.

    Attributes:
        network: The detector in the form of a network of mgst.
        frames: Number of frames of a segment.
        shortest: Smallest number of frames of a segment.
        size: Side of the frames, pixels.
        face_margin: Margin around the face box; None for the whole crops of the shards.
        info: Where it is from, and its contract.
        digest: Identifies its code and weights; "" if they are not known, so that no scores can be reused.
        caution: Always "".
    """

    network: nn.Module
    frames: int
    shortest: int
    size: int
    face_margin: float | None
    info: Mapping[str, Any]
    digest: str
    caution: str = ""


def plug_detector(place: str) -> PluggedDetector:
    """Makes a detector and checks its contract, also on one batch of grey frames.

    Args:
        place: Name of an entry point, ``package.module:factory``, or ``file.py:factory``. Modules are also searched in
            the current folder.

    Raises:
        UsageError: if it cannot be imported or made, an attribute is missing or wrong, or it returns something else
            than scores.
    """
    factory = _factory(place)
    # Weights that it draws before it reads others must not advance the generator of the caller.
    with _their_errors(place, "cannot be made"), torch.random.fork_rng(devices=[]):
        detector = factory()
    takes, returns = (_choice(detector, place, *known) for known in (("takes", Takes), ("returns", Returns)))
    size, frames = _whole(detector, place, "size"), _whole(detector, place, "frames", 1 if takes == "picture" else None)
    shortest = 1 if takes == "picture" else _whole(detector, place, "least_frames", frames)
    if shortest > frames:
        what = f"least_frames must be at most frames, {frames}, got {shortest}"
        raise UsageError(what, where=place, hint=_CONTRACT)
    mean, std = (_numbers(detector, place, *usual) for usual in (("mean", 0.0), ("std", 1.0)))
    margin = _margin(detector, place)
    network = PluggedNetwork(detector, takes=takes, returns=returns, mean=mean, std=std, place=place).eval()
    with torch.inference_mode():
        network(torch.full((1, frames, 3, size, size), 0.5))
    about = {"takes": takes, "returns": returns, "mean": list(mean), "std": list(std)}
    facts = {"detector": place, **about, "face_margin": margin}
    return PluggedDetector(
        network=network,
        frames=frames,
        shortest=shortest,
        size=size,
        face_margin=margin,
        info=facts,
        digest=_digest(detector, factory, {**facts, "size": size, "frames": frames, "shortest": shortest}),
    )


def _factory(place: str) -> DetectorFactory:
    if ":" not in place:
        return VIDEO_DETECTORS.get(place)
    where, _, name = place.rpartition(":")
    path = Path(where)
    with _their_errors(place, "cannot be imported"), _current_folder():
        try:
            module = _from_file(path) if path.suffix == ".py" else importlib.import_module(where)
        except ImportError as error:
            hint = "install its package, or start mgst-eval in the folder of the module"
            raise UsageError(f"cannot be imported: {first_line(error)}", where=place, hint=hint) from error
    found = getattr(module, name, None)
    if not callable(found):
        known = ", ".join(key for key, value in vars(module).items() if inspect.isroutine(value) and key[0] != "_")
        raise UsageError(f"the module has no function {name!r}", where=place, hint=f"functions: {known or 'none'}")
    made: DetectorFactory = found
    return made


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError("no such file", where=path, hint="give FILE.py:FUNCTION")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError("not a Python file", where=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@contextmanager
def _current_folder() -> Iterator[None]:
    """Lets imports find modules of the current folder, which the path of an installed command does not have."""
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)


@contextmanager
def _their_errors(place: str, what: str) -> Iterator[None]:
    """Converts errors of the code of others into a UsageError.

    Raises:
        UsageError: if the block raises one of the usual errors.
    """
    try:
        yield
    except _THEIRS as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise UsageError(f"the detector {what}: {reason}", where=place, hint="--debug shows where") from error


def _broken(place: str, what: str) -> UsageError:
    return UsageError(what, where=place, hint=_CONTRACT)


def _choice(detector: Any, place: str, name: str, known: Any) -> Any:
    value = getattr(detector, name, None)
    if value not in get_args(known):
        raise _broken(place, f"attribute {name} must be one of {', '.join(get_args(known))}, got {value!r}")
    return value


def _whole(detector: Any, place: str, name: str, usual: int | None = None) -> int:
    value = getattr(detector, name, usual)
    if type(value) is not int or value < 1:
        raise _broken(place, f"attribute {name} must be a whole number of at least 1, got {value!r}")
    return value


def _numbers(detector: Any, place: str, name: str, usual: float) -> tuple[float, ...]:
    value = getattr(detector, name, (usual,) * 3)
    values = value.flatten().tolist() if isinstance(value, Tensor) else value
    numbers = isinstance(values, list | tuple) and all(isinstance(one, int | float) for one in values)
    if not numbers or len(values) != 3 or (name == "std" and not all(one > 0 for one in values)):
        raise _broken(place, f"attribute {name} must be three numbers{', above 0' * (name == 'std')}, got {value!r}")
    return tuple(float(one) for one in values)


def _margin(detector: Any, place: str) -> float | None:
    value = getattr(detector, "face_margin", None)
    low, high = MARGIN_LIMITS
    if value is not None and not (isinstance(value, int | float) and low <= value <= high):
        raise _broken(place, f"attribute face_margin must be in [{low}, {high}] or None, got {value!r}")
    return None if value is None else float(value)


def _digest(detector: Any, factory: DetectorFactory, facts: Mapping[str, Any]) -> str:
    """Hashes contract, source code and weights. Without weights or a version, nothing says whether scores changed."""
    version = getattr(detector, "version", None)
    if not isinstance(detector, nn.Module) and version is None:
        return ""
    found = hashlib.blake2b(repr((sorted(facts.items()), version)).encode(), digest_size=8)
    for item in {factory, type(detector)}:
        source = inspect.getsourcefile(item) if inspect.isclass(item) or inspect.isroutine(item) else None
        found.update(Path(source).read_bytes() if source and Path(source).is_file() else b"")
    if isinstance(detector, nn.Module):
        for name, value in detector.state_dict().items():
            found.update(name.encode())
            found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
