"""The page about weights that are shared: README.md with what they are, what they were made of, and their limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from mgst_model.networks.checkpoint import FALSE_POSITIVES, NetworkCard

_USES = """The weights are a pair of files, `model.safetensors` and `model.json`; nothing has to be unpickled.

```sh
pip install 'mgst[train]'
mgst-predict talk.mp4 --weights {weights}
```

```python
from mgst_model.predict import Detector

prediction = Detector.from_pretrained("{place}").predict("talk.mp4")
print(prediction.score)
```
"""
_LIMITS = """A score is a number in [0, 1]; higher means more likely fake. It is not a probability.

- Do not use it for decisions about people: accusations, moderation without a person, access to services, police or
  court work.
- A low score is no proof that a video is real. It says only that the network found no trace that it knows.
- A network finds manipulations of other kinds than those of its training less well. Compressed, small or covered faces
  give less reliable scores.
- Scores differ between people for reasons other than manipulation. Do not compare people by them.
"""
# Options of a training that name files of the machine it ran on, by table.
_FILES = {"network": ("pretrained",), "train": ("init_from",)}
# Places of the training data, which are paths of the machine.
_PLACES = ("shards", "sources", "settings")


def shared_card(card: NetworkCard) -> NetworkCard:
    """Returns the card of weights that are given away: without paths of the machine of the training.

    Args:
        card: Card of the network.
    """
    info = {name: value for name, value in card.info.items() if name not in _PLACES}
    experiment = info.get("experiment")
    if isinstance(experiment, Mapping):
        info["experiment"] = {table: _without_paths(table, options) for table, options in experiment.items()}
    return replace(card, info=info)


def _without_paths(table: str, options: Any) -> Any:
    if not isinstance(options, Mapping):
        return options
    named = _FILES.get(table, ())
    return {name: _name_of(value) if name in named else value for name, value in options.items()}


def _name_of(value: Any) -> Any:
    """Returns the name of a file without its folder; also for a list of files."""
    if isinstance(value, list | tuple):
        return [_name_of(one) for one in value]
    return PurePath(value).name if isinstance(value, str) else value


def write_page(card: NetworkCard, *, title: str = "", repo: str = "", licence: str = "") -> str:
    """Writes the page about a network, from the facts of its card. What the card does not know is said to be unknown.

    Args:
        card: Card of the network.
        title: Heading of the page; "" for the name of the repository, or a general one.
        repo: Name of the repository that the page is for, "user/name"; "" if it is not known.
        licence: Licence of the weights, as an SPDX identifier such as "apache-2.0"; "" if it is not known.

    Returns:
        Markdown, with the block of metadata that the hub reads.
    """
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        license=licence or None,
        library_name="mgst",
        pipeline_tag="video-classification",
        tags=["deepfake-detection", "face-forgery-detection", card.config.kind],
    )
    weights = f"hf://{repo}" if repo else "FOLDER"
    status = f"> **Note**: {card.caution}.\n\n" if card.caution else ""
    parts = {
        "Use": _USES.format(weights=weights, place=repo or "FOLDER"),
        "Limits": _LIMITS,
        "Input": "\n".join(_input(card)) + "\n",
        "Training data": "\n".join(_data(card)) + "\n",
        "Training": "\n".join(_training(card)) + "\n",
        "Figures": "\n".join(_figures(card)) + "\n",
        "Licence": (f"{licence}\n" if licence else "Not stated. Ask the owner before you use or share the weights.\n"),
    }
    body = "\n".join(f"## {name}\n\n{text}" for name, text in parts.items())
    name = title or repo.partition("/")[2] or "Deepfake detector"
    head = f"---\n{data.to_yaml()}\n---\n\n# {name}\n\nA deepfake detector of mgst for the faces in videos.\n\n"
    return f"{head}{status}{body}"


def _input(card: NetworkCard) -> Iterator[str]:
    margin = "the whole crop around a tracked face" if card.face_margin is None else (
        f"the face box with a margin of {card.face_margin:g} of its width and height"
    )  # fmt: skip
    kind = "single frames" if card.shortest == 1 else f"segments of at least {card.shortest} consecutive frames"
    name = f"{card.config.kind}, backbone `{card.config.backbone}`"
    yield f"- Network: {name}, for {kind}; {card.frames} frames per segment."
    yield f"- Frames: RGB in [0, 1], {card.size} x {card.size} pixels, that show {margin}."
    yield "- `mgst-predict` finds and tracks the faces, and makes these frames."


def _data(card: NetworkCard) -> Iterator[str]:
    known = card.info.get("trained_on")
    sets = known.get("real_videos") if isinstance(known, Mapping) else None
    if not isinstance(known, Mapping) or not isinstance(sets, Mapping):
        yield "Not known: the card of the weights has no list."
        return
    people = known.get("people")
    yield f"Real videos of {people:,} people." if isinstance(people, int) else "The number of people is not known."
    yield ""
    yield "| data set | real videos |"
    yield "|---|--:|"
    yield from (f"| {name} | {count:,} |" for name, count in sets.items())


def _training(card: NetworkCard) -> Iterator[str]:
    experiment = card.info.get("experiment")
    if not isinstance(experiment, Mapping):
        yield "Not known: the card of the weights has no options of the training."
        return
    yield "Options of `mgst-train`; `model.json` has all of them."
    yield ""
    for table, options in experiment.items():
        if isinstance(options, Mapping):
            some = ", ".join(f"`{name}={value}`" for name, value in options.items() if value not in (None, "", (), []))
            yield f"- `[{table}]` {some}"


def _figures(card: NetworkCard) -> Iterator[str]:
    area = card.info.get("validation_auc")
    if isinstance(area, float):
        yield f"- AUC {area:.3f} in the validation of the training, which chose the weights. It is no figure of a test."
    for picture, kind in ((False, "videos"), (True, "pictures")):
        known = card.calibration(picture=picture)
        if known is not None:
            rate = max(FALSE_POSITIVES, known.lowest_rate)
            count = f"{len(known.real):,} real {kind} of {known.people:,} people that it was not trained on"
            yield f"- At most {100 * rate:.2g} % of {count} score above {known.threshold(rate):.2f}."
    yield "- Measure it on your own videos with `mgst-eval`: figures of one data set do not hold for another."
