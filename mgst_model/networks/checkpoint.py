"""Weights in files: safetensors for the weights, JSON for the description (the card). Nothing is unpickled."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from mgst_data.augment.geometric import MARGIN_LIMITS
from mgst_data.core import UsageError
from mgst_data.core.documents import parse_json
from mgst_data.core.errors import first_line
from mgst_data.core.records import DEMO
from mgst_data.shards.storage import output_errors, write_atomic
from mgst_model.networks.calibration import Calibration
from mgst_model.networks.hub import MODEL, HubName, fetch, is_hub_name
from mgst_model.networks.network_config import NetworkConfig
from mgst_model.networks.remote_weights import fetch_pair, is_weights_url
from mgst_model.networks.renamed import present_names
from mgst_model.networks.size import check_size
from mgst_model.networks.trained_videos import VIDEOS

FORMAT = 1
# Largest numbers of frames and pixels that a card may ask for.
_MOST_FRAMES, _LARGEST = 1000, 4096
# Largest number of characters of a reason in an error message.
_SHOWN = 200
_NUMBERS = re.compile(r"\[\s+-?\d[-+.,\s\de]*\]")
WEIGHTS, CARD = ".safetensors", ".json"
BEST = "best"
# The options of a training, in its folder.
SETTINGS = "config.json"
_OWN = "build it, and read its weights with safetensors.torch.load_file and load_state_dict"
# False-positive rate that the threshold of a calibrated network holds. Our own choice.
FALSE_POSITIVES = 0.1
# The weights that come with the toolkit.
PACKAGED = Path(__file__).parents[1] / "pretrained" / "detector"
# With fewer people in the training set, a network counts as a trial. The number is our own choice: FaceForensics++, the
# usual training set, has 720.
FEW_PEOPLE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCard:
    """The description of a network that is stored next to its weights.

    Attributes:
        config: Configuration that the network is built from. ``pretrained`` is "random" here.
        frames: Number of frames per segment for scoring.
        size: Side of the frames, in pixels.
        info: Other facts: data set, training and validation.
        face_margin: Margin around the face box that the frames show, relative to its width or height; see
            :class:`mgst_data.augment.FaceCrop`. None for the whole crops of the shards.
    """

    config: NetworkConfig
    frames: int
    size: int
    info: Mapping[str, Any]
    face_margin: float | None = None

    def calibration(self, *, picture: bool = False) -> Calibration | None:
        """Returns the scores of real videos that the network has not seen, or None if the card has none.

        Args:
            picture: Whether to return those of single pictures.
        """
        return Calibration.read(self.info, "pictures" if picture else "videos")

    @property
    def threshold(self) -> float:
        """Score above which a video counts as fake, see :meth:`threshold_at`."""
        return self.threshold_at()

    def threshold_at(self, rate: float | None = None, *, picture: bool = False) -> float:
        """Returns the threshold that holds a false-positive rate.

        Args:
            rate: Largest false-positive rate; None for 10 %, or the lowest rate that the calibration can hold if that
                is larger. Then the threshold is 0.5 without a calibration.
            picture: Whether the threshold is for single pictures.

        Raises:
            UsageError: if the calibration is missing, or has too few people for the rate.
        """
        known = self.calibration(picture=picture)
        if rate is None:
            return 0.5 if known is None else known.threshold(max(FALSE_POSITIVES, known.lowest_rate))
        kind = "pictures" if picture else "videos"
        hint = "give a score, such as --threshold 0.5, or calibrate the network with mgst-calibrate"
        if known is None:
            what = f"a threshold for a false-positive rate needs a calibration with real {kind}"
            raise UsageError(f"{what}, which this network does not have", hint=hint)
        if rate < known.lowest_rate:
            what = f"the calibration has {known.people:,} people in real {kind}, which can hold false-positive rates"
            raise UsageError(f"{what} from {100 * known.lowest_rate:.2g} %, got {100 * rate:.2g} %", hint=hint)
        return known.threshold(rate)

    @property
    def shortest(self) -> int:
        """Smallest number of frames that the network needs: 2 with a temporal stream, which compares frames, else 1."""
        return 1 if self.config.kind == "image" or self.config.streams == "spatial" else min(2, self.frames)

    @property
    def caution(self) -> str:
        """Warning about the use of the network, or "" if the card has no reason for one."""
        return caution_of(self.info)


def caution_of(info: Mapping[str, Any]) -> str:
    """Returns the warning about the use of a network, or "".

    Args:
        info: Facts about the network, from its card.
    """
    if info.get("experimental"):
        return f"this network is experimental, do not base decisions on it: {info['experimental']}"
    known = info.get("trained_on")
    if not isinstance(known, Mapping):
        return ""
    sets, people = known.get("real_videos"), known.get("people")
    if isinstance(sets, Mapping) and set(sets) == {DEMO}:
        what = "the rendered demo set"
    elif isinstance(people, int) and people < FEW_PEOPLE:
        what = f"{people:,} {'person' if people == 1 else 'people'}"
    else:
        return ""
    return f"this network was trained on {what} only: do not rely on its scores for other videos"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedNetwork(NetworkCard):
    """A network that is ready to score.

    Attributes:
        network: The network in evaluation mode.
        weights: File that it was read from; None for a network that was made in memory.
    """

    network: nn.Module
    weights: Path | None = None

    @property
    def card(self) -> NetworkCard:
        """The description alone, without the network."""
        return NetworkCard(**{name: getattr(self, name) for name in NetworkCard.__slots__})


def save_network(
    path: str | Path,
    network: nn.Module,
    config: NetworkConfig | None,
    *,
    frames: int | None,
    size: int | None,
    face_margin: float | None = None,
    info: Mapping[str, Any] | None = None,
) -> Path:
    """Writes ``PATH.safetensors`` and ``PATH.json``.

    Args:
        path: Path without suffix, or with one of these suffixes.
        network: Network whose state is written unchanged.
        config: Configuration that the network was built from. None for a network that
            :func:`~mgst_model.networks.build_network` does not build: read its weights with
            ``safetensors.torch.load_file`` and ``load_state_dict``, not with :func:`load_network`.
        frames: Number of frames per segment for scoring; None if ``config`` is None.
        size: Side of the frames, in pixels; None if ``config`` is None.
        face_margin: Margin around the face box that the frames show; None for the whole crops of the shards.
        info: Other facts, as plain JSON values.

    Returns:
        Path of the ``.safetensors`` file.

    Raises:
        OutputError: if the files cannot be written.
    """
    stem = _stem(Path(path))
    # Copies, because safetensors does not accept parameters that share memory.
    state = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
             for name, value in network.state_dict().items()}  # fmt: skip
    card = {
        "format": FORMAT,
        "network": None if config is None else {**asdict(config), "pretrained": "random"},
        "frames": frames,
        "size": size,
        "face_margin": face_margin,
        "info": dict(info or {}),
    }
    return _write(stem, card, save(state))


def copy_network(weights: Path, card: NetworkCard, path: str | Path) -> Path:
    """Copies the weights of a file unchanged, with another card.

    Args:
        weights: File that :func:`save_network` wrote.
        card: Card of the copy.
        path: Path of the copy, see :func:`save_network`.

    Returns:
        Path of the ``.safetensors`` file.

    Raises:
        UsageError: if the file can no longer be read.
        OutputError: if the copy cannot be written.
    """
    try:
        content = weights.read_bytes()
    except OSError as error:
        what = f"the weights cannot be read again: {first_line(error)}"
        raise UsageError(what, where=weights, hint="load the detector again") from error
    return _write(_stem(Path(path)), card_document(card), content)


def _write(stem: Path, card: Mapping[str, Any], content: bytes) -> Path:
    # The card is written first: new weights with an old card would be read with the wrong configuration.
    write_atomic(stem.with_name(stem.name + CARD), _card_text(card).encode())
    weights = stem.with_name(stem.name + WEIGHTS)
    write_atomic(weights, content)
    return weights


def write_calibration(path: str | Path, found: Mapping[str, Calibration], *, out: Path | None = None) -> Path:
    """Writes calibrations into the card of a network. The weights stay bit-identical.

    Args:
        path: Path of the network, see :func:`read_card`.
        found: Calibrations by kind, "videos" or "pictures". Those of the other kind are kept.
        out: Folder to copy the weights, their card and the list of their videos to; None to change the card in place.

    Returns:
        Path of the card.

    Raises:
        UsageError: if a file is missing, damaged or of another kind.
        OutputError: if a file cannot be written.
    """
    weights = weights_file(path)
    card = weights.with_suffix(CARD)
    _read_card(card)
    document = json.loads(card.read_bytes())
    kept = document["info"].get("calibration")
    document["info"]["calibration"] = (kept if isinstance(kept, dict) else {}) | {
        kind: one.as_dict() for kind, one in found.items()
    }
    if out is not None:
        with output_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        for file in (weights, weights.with_suffix(VIDEOS)):
            if file.is_file() and (out / file.name).resolve() != file.resolve():
                write_atomic(out / file.name, file.read_bytes())
        card = out / card.name
    write_atomic(card, _card_text(document).encode())
    return card


def read_card(path: str | Path) -> NetworkCard:
    """Reads the card of a network that :func:`save_network` wrote, and checks that its weights exist.

    Args:
        path: Path of the ``.safetensors`` or ``.json`` file, with or without suffix; or the folder of a training, of
            which ``best`` is taken; or the folder of a saved detector; any of these by fsspec URL; or
            ``hf://user/name``, see :mod:`mgst_model.networks.hub`.

    Raises:
        UsageError: if a file is missing, damaged or of another kind.
    """
    return _read_card(weights_file(path).with_suffix(CARD))


def load_network(path: str | Path, device: torch.device | str = "cpu") -> LoadedNetwork:
    """Reads a network that :func:`save_network` wrote.

    Args:
        path: Path of the network, see :func:`read_card`.
        device: Device to load the network to.

    Raises:
        UsageError: if a file is missing, damaged or of another kind, or the weights do not fit the card.
    """
    from mgst_model.networks.build import build_network  # reading a card must not import timm

    weights = weights_file(path)
    file = weights.with_suffix(CARD)
    card = _read_card(file)
    try:
        check_size(card.config, weights, file)
        # The initial weights are overwritten below. Drawing them must not advance the generator of the caller.
        with torch.random.fork_rng(devices=[]):
            network = build_network(card.config)
        network.load_state_dict(load_file(weights))
    except (SafetensorError, OSError) as error:
        raise UsageError(f"damaged: {error}", where=weights, hint="copy the file again, or train again") from error
    except RuntimeError as error:
        # The first line only names the class of the network.
        reason = " ".join(str(error).split()).partition(": ")[2]
        what = f"the weights do not fit {file.name}: {reason[:_SHOWN]}"
        raise UsageError(what, where=weights, hint="use the pair of files of the same training") from error
    network = network.to(device).eval()
    facts = {name: getattr(card, name) for name in NetworkCard.__slots__}
    return LoadedNetwork(network=network, weights=weights, **facts)


def weights_file(path: str | Path) -> Path:
    """Returns the path of the weights, which have a card next to them.

    Args:
        path: Path of the network, see :func:`read_card`.

    Raises:
        UsageError: if the weights or the card are missing, or cannot be downloaded.
    """
    if is_weights_url(path):
        return fetch_pair(str(path), (MODEL, BEST), (WEIGHTS, CARD), VIDEOS)
    given = fetch(HubName.of(path)) if is_hub_name(path) else Path(path)
    stem = _stem(given)
    if given.is_dir():
        stem = given / (MODEL if (given / (MODEL + WEIGHTS)).is_file() else BEST)
    weights, card = (stem.with_name(stem.name + suffix) for suffix in (WEIGHTS, CARD))
    hint = f"weights are a pair of files, NAME{WEIGHTS} and NAME{CARD}"
    if given.is_file() and given.suffix not in (WEIGHTS, CARD):
        raise UsageError("not a weights file of mgst", where=path, hint=hint + "; other files are never unpickled")
    if given.is_dir() and not weights.is_file() and (given / SETTINGS).is_file():
        hint = "this training has not been validated yet: continue it with mgst-train"
    if not given.exists() and not weights.is_file():
        raise UsageError("no such file or folder", where=path, hint=hint)
    for file in (weights, card):
        if not file.is_file():
            raise UsageError("no such file", where=file, hint=hint)
    return weights


def card_document(card: NetworkCard) -> dict[str, Any]:
    """Returns a card as values for JSON, which :func:`parse_card` reads.

    Args:
        card: Description of a network.
    """
    return {
        "format": FORMAT,
        "network": {**asdict(card.config), "pretrained": "random"},
        "frames": card.frames,
        "size": card.size,
        "face_margin": card.face_margin,
        "info": dict(card.info),
    }


def _read_card(path: Path) -> NetworkCard:
    try:
        card = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"not a network card: {first_line(error)}", where=path, hint="copy the file again") from error
    return parse_card(card, where=path)


def parse_card(card: Any, *, where: object) -> NetworkCard:
    """Reads a card from the values of its JSON.

    Args:
        card: Values of the JSON.
        where: File that they are from.

    Raises:
        UsageError: if they are no card, or that of a network that cannot be built.
    """
    try:
        if card["format"] != FORMAT:
            what = f"format version must be {FORMAT}, got {card['format']}"
            raise UsageError(what, where=where, hint="use the version of mgst that wrote it")
        if card["network"] is None:
            what = "describes a custom network, which mgst cannot build"
            raise UsageError(what, where=where, hint=_OWN)
        options = present_names({"network": card["network"]})["network"]
        NetworkConfig(**options)
        # No other file than the weights next to the card is read, whatever ``pretrained`` is in the card.
        config = NetworkConfig(**{**options, "pretrained": "random"})
        found = NetworkCard(
            config=config,
            frames=_whole(card, "frames", most=_MOST_FRAMES),
            size=_whole(card, "size", most=_LARGEST),
            info=card["info"],
            face_margin=_margin(card.get("face_margin")),
        )
        for picture in (False, True):
            found.calibration(picture=picture)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        reason = f"{first_line(error)} is missing" if isinstance(error, KeyError) else first_line(error)
        raise UsageError(f"not a network card: {reason}", where=where, hint="copy the file again") from error
    return found


def _card_text(card: Mapping[str, Any]) -> str:
    """Returns the text of a card, with each list of numbers on one line."""
    text = json.dumps(card, indent=1, allow_nan=False)
    return _NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n"


def _whole(card: Mapping[str, Any], name: str, *, most: int) -> int:
    value = card[name]
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most:,}, got {value!r}")
    return value


def _margin(value: Any) -> float | None:
    """Returns the margin of a card; cards of earlier versions have none.

    Raises:
        ValueError: if it is no possible margin.
    """
    if value is None:
        return None
    low, high = MARGIN_LIMITS
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"face_margin must be in [{low}, {high}] or null, got {value!r}")
    return float(value)


def _stem(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in (WEIGHTS, CARD) else path
