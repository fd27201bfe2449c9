"""Properties of a video on which its score depends, real or fake. A calibration holds only for similar videos."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """A property of a video: one number.

    Attributes:
        name: Name in cards and JSON.
        unit: Unit, for messages.
        low: What is said of a video with an unusually small value; "" if that is no reason for doubt.
        high: What is said of a video with an unusually large value; "" if that is no reason for doubt.
        digits: Number of decimal places in messages.
        slack: The lower limit is divided by it. 1 for a limit that is a value of a calibration video.
    """

    name: str
    unit: str
    low: str = ""
    high: str = ""
    digits: int = 0
    slack: float = 1.0

    def says(self, words: str, value: float, compared: str, limit: float) -> str:
        """Returns a reason for doubt, with the value and the limit.

        Args:
            words: ``low`` or ``high``.
            value: Value of the video.
            compared: What the limit is.
            limit: The limit.
        """
        unit = f" {self.unit}" if self.unit else ""
        return f"{words} ({value:.{self.digits}f}{unit}; {compared} {limit:.{self.digits}f})"


FACE_SIZE, SHARPNESS, TURN, BRIGHTNESS, FRAMES = "face_size", "sharpness", "turn", "brightness", "frames"
# Which conditions there are, and in which direction they are a reason for doubt, is our own choice.
CONDITIONS = (
    Condition(
        FACE_SIZE, "pixels", low="the face is too small", high="the face is larger than those of the calibration"
    ),
    Condition(
        SHARPNESS, "", low="the face is blurred", high="the face is sharper than those of the calibration", digits=1
    ),
    Condition(TURN, "eye distances", high="the face is in profile", digits=2),
    Condition(
        BRIGHTNESS,
        "grey levels",
        low="the face is darker than those of the calibration",
        high="the face is brighter than those of the calibration",
    ),
    # With a quarter of the frames, the standard error of the mean score is at most twice as large.
    Condition(FRAMES, "frames", low="the face is visible too briefly", slack=4.0),
)
