"""What a score means, in words: the only place that says it. The command and reports show these sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mgst_data.preview.scores import CALLED_FAKE, CANNOT_SAY, NOT_CALLED_FAKE, verdict
from mgst_model.networks.calibration import ASSUMPTION, Calibration

# What each verdict says, and what it does not say.
SAYS: Mapping[str, str] = {
    CALLED_FAKE: "the score is above the threshold; real videos can score as high",
    NOT_CALLED_FAKE: "the score is not above the threshold; this does not show that the video is real",
    CANNOT_SAY: "the video is unlike the real videos that the network was calibrated with",
}

# What no score says. Pages show it below every result.
LIMITS = (
    "A score is in [0, 1]; higher means more likely fake. It is not a probability and not a proof.",
    "The network knows only the kinds of fakes that it was trained on.",
    "Compression, small faces, make-up and filters move scores. A curve that jumps up and down means that the network "
    "is not sure.",
    "Do not base decisions on it: not on a person, not on a video. Take it as a reason to look closer.",
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the score of a face means.

    Attributes:
        score: The score, [0, 1].
        threshold: A score above it is called fake.
        verdict: "fake", "not called fake" or "cannot say".
        doubts: Why no verdict is given; empty if one is given.
        false_positive_rate: Share of the real videos of the calibration that have at least this score; None without a
            calibration.
        p_value: Conformal p-value of the score, see
            :meth:`mgst_model.networks.calibration.Calibration.p_value`; None without a calibration by person, and where
            no verdict is given.
        sentences: The same in words: first what the verdict says, then how often real videos score as high.
    """

    score: float
    threshold: float
    verdict: str
    doubts: tuple[str, ...]
    false_positive_rate: float | None
    p_value: float | None
    sentences: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns the entries for JSON."""
        return {
            "verdict": self.verdict,
            "doubts": list(self.doubts),
            "false_positive_rate": None if self.false_positive_rate is None else round(self.false_positive_rate, 4),
            "p_value": None if self.p_value is None else round(self.p_value, 4),
        }


def meaning_of(
    score: float,
    threshold: float,
    calibration: Calibration | None,
    *,
    doubts: tuple[str, ...] = (),
    kind: str = "videos",
) -> Meaning:
    """Says what a score means.

    Args:
        score: Score of a face, [0, 1].
        threshold: A score above it is called fake.
        calibration: Scores of real videos; None if they are not known.
        doubts: Why no verdict is given, see :meth:`mgst_model.networks.calibration.Calibration.doubts`.
        kind: "videos" or "pictures".
    """
    said = verdict(score, threshold, doubts)
    rate = None if calibration is None else calibration.false_positive_rate(score)
    p_value = None if calibration is None or doubts else calibration.p_value(score)
    sentences = [f"{said}: {SAYS[said]}", *doubts]
    if calibration is None:
        sentences.append(f"the network has no calibration: it is not known how many real {kind} score as high")
    else:
        sentences.append(_share(score, calibration, kind))
    if p_value is not None:
        sentences.append(f"p-value {p_value:.2g}: {ASSUMPTION}; not the probability of a fake")
    return Meaning(score, threshold, said, doubts, rate, p_value, tuple(sentences))


def _share(score: float, known: Calibration, kind: str) -> str:
    total = len(known.real)
    high = round(known.false_positive_rate(score) * total)
    people = f"{known.people:,} {'person' if known.people == 1 else 'people'}"
    share = f"{high:,} of {total:,}" if total <= 100 else f"{100 * high / total:.2g} of 100 ({high:,} of {total:,})"
    return f"{share} real {kind} of {people} that the network has not seen score at least as high"
