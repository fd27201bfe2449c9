"""A report shows what is in the shards, is complete while its page exists, and overwrites nothing else."""

from __future__ import annotations

import json
import math
import re
import sys
from html import unescape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mgst_cli.data import data
from report.report_folder import COPY, FAKE, NAME, ODD, ORIGINAL, REAL, SKIPPED, chunks, records

from mgst_data.core import UsageError
from mgst_data.report import ReportSummary, head_pose, outliers, write_report
from mgst_data.report.pictures import strip_files
from mgst_data.report.pose import _HEAD, _POINTS_68
from mgst_data.report.tracks import view_track
from mgst_data.report.write import PAGE


def wall(summary: ReportSummary) -> list[dict[str, Any]]:
    text = summary.page.read_text()
    found = re.search(r'id="wall-data">(.*?)</script>', text)
    assert found is not None
    content = json.loads(found[1])
    return [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]


def test_every_track_has_a_row_and_its_files(summary: ReportSummary):
    rows = wall(summary)
    assert sorted(row["video"] for row in rows) == sorted(
        record.video for record in records() if record.key not in SKIPPED
    )
    folder = summary.page.parent / "tracks"
    for row in rows:
        assert row["label"] == ("fake" if "swap" in row["video"] else "real")
        assert {path.suffix for path in folder.glob(f"{row['number']}.*")} == {".jpg", ".js"} | (
            {".png"} if row["label"] == "fake" else set()
        )
    assert (summary.tracks, summary.totals.overall.videos, summary.totals.overall.skipped) == (
        len(REAL) + len(FAKE), len(REAL) + len(FAKE), 2,
    )  # fmt: skip


def test_duplicates_and_outliers_come_first_with_their_reason(summary: ReportSummary):
    ranked = sorted(wall(summary), key=lambda row: -row["attention"])
    assert {row["video"] for row in ranked[:2]} == {f"videos/{key}.mp4" for key in (ORIGINAL, COPY)}
    assert all("possible duplicate" in row["reasons"] for row in ranked[:2])
    assert ranked[2]["video"] == f"videos/{ODD}.mp4"
    assert {"outlier: sharpness", "outlier: landmark doubt"} <= set(ranked[2]["reasons"])
    assert (summary.duplicates, summary.outliers) == (1, sum("outlier" in str(row["reasons"]) for row in ranked))
    assert summary.outliers < 5
    noted = next(row for row in ranked if "several_faces" in row["reasons"])
    assert noted["video"] == "videos/real_0.mp4"


def test_skipped_videos_have_their_reason_and_first_frame_where_the_file_is(summary: ReportSummary):
    text = unescape(summary.page.read_text())
    assert all(reason in text for reason in SKIPPED.values())
    pictures = list((summary.page.parent / "skipped").iterdir())
    assert [path.name for path in pictures] == re.findall(
        r'src="skipped/([^"]+)" alt="First frame of videos/dark', text
    )
    assert cv2.imread(str(pictures[0])).shape == (90, 160, 3)


def test_names_of_videos_are_text(summary: ReportSummary):
    assert NAME in [row["video"] for row in wall(summary)]
    assert "<b>" not in summary.page.read_text()


def test_numbers_of_a_track_are_those_of_its_chunk():
    record = next(record for record in records() if record.key == ODD)
    chunk = next(chunks(record))
    facts, frames = view_track([chunk], folder="x", shown=3, side=32)
    assert facts.face == 64.0  # a box of 32 pixels in a crop of half the size of the frame
    assert facts.doubt == 0.5
    assert facts.score == pytest.approx(0.99, abs=1e-4)
    assert [frame.number for frame in frames] == [1, 4, 6]
    assert all(frame.invalid == tuple(range(34)) for frame in frames)
    sharp = view_track([next(chunks(records()[0]))], folder="x", shown=3, side=32)[0].sharpness
    assert facts.sharpness < sharp / 4


def test_a_film_strip_has_every_frame_with_its_mask():
    record = next(record for record in records() if record.label)
    frames = view_track([next(chunks(record))], folder="x", shown=3, side=32)[1]
    files = strip_files(frames, 7)
    strip = cv2.imdecode(np.frombuffer(files[".jpg"], np.uint8), cv2.IMREAD_COLOR_RGB)
    overlay = cv2.imdecode(np.frombuffer(files[".png"], np.uint8), cv2.IMREAD_UNCHANGED)
    for number, frame in enumerate(frames):
        part = np.s_[:, number * 32 : (number + 1) * 32]
        assert np.abs(strip[part].astype(int) - frame.picture).mean() < 12
        assert np.array_equal(overlay[part][..., 3] > 0, frame.mask > 0)
        assert 0 < (frame.mask > 0).mean() < 1
    content = json.loads(re.fullmatch(r"film\(7,(.*)\);\n", files[".js"].decode())[1])
    assert content["frames"][2]["p"][:2] == [round(1000 * value) for value in frames[2].landmarks[0].tolist()]


@pytest.mark.parametrize("angles", [(0, 0, 0), (25, 0, 0), (-40, 10, 5), (0, -20, 0), (10, 15, -30)])
def test_the_pose_of_a_projected_head_is_found(angles: tuple[float, float, float]):
    yaw, pitch, roll = (math.radians(angle) for angle in angles)

    def about(axis: int, angle: float) -> np.ndarray:
        vector = np.zeros(3)
        vector[axis] = angle
        return cv2.Rodrigues(vector)[0]

    turned = about(2, roll) @ about(1, yaw) @ about(0, pitch) @ _HEAD.T + np.array([[100.0], [-50], [3000]])
    landmarks = torch.zeros(1, 68, 2)
    landmarks[0, _POINTS_68] = torch.from_numpy((turned[:2] / turned[2] * 640 + np.array([[319.5], [239.5]])).T).float()
    torch.testing.assert_close(head_pose(landmarks, (640, 480))[0], torch.tensor(angles).float(), atol=0.2, rtol=0)


def test_the_pose_needs_landmarks_of_a_known_kind():
    assert head_pose(torch.zeros(2, 5, 2), (640, 480)).isnan().all()
    assert head_pose(torch.full((1, 68, 2), float("nan")), (640, 480)).isnan().all()


def test_few_tracks_have_no_outliers():
    facts = [view_track([next(chunks(record))], folder="x", shown=1, side=16)[0] for record in records()[-4:]]
    assert outliers(facts) == [{}, {}, {}, {}]


def test_other_files_are_never_overwritten(folders: tuple[Path, Path], tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a report"):
        write_report(folders[0], tmp_path, duplicates=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]


def test_an_interrupted_report_has_no_page_and_can_be_written_again(folders: tuple[Path, Path], tmp_path: Path):
    def write(saw=lambda *_: None) -> Path:
        return write_report(folders[0], tmp_path, split="val", frames=1, side=16, duplicates=False, saw=saw).page

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "writing the page":
            raise KeyboardInterrupt

    page = write()
    before = page.read_text()
    with pytest.raises(KeyboardInterrupt):
        write(interrupt)
    assert not page.exists()
    assert write().read_text() == before


def test_a_folder_by_url_gives_the_same_tracks_and_duplicates(folders: tuple[Path, Path], tmp_path: Path):
    some = {"split": "train", "methods": ["real"], "frames": 1, "side": 16, "workers": 1}
    found = write_report(f"file://{folders[0]}", tmp_path / "url", **some)
    assert found.duplicates == write_report(folders[0], tmp_path / "path", **some).duplicates
    rows = wall(found)
    assert rows
    assert {(row["split"], row["method"]) for row in rows} == {("train", "real")}


def test_the_command_names_the_page_and_what_it_found(folders: tuple[Path, Path], tmp_path: Path):
    shards, root = map(str, folders)
    some = ("--frames", "1", "--side", "16", "--workers", "1")
    done = CliRunner().invoke(data, ["report", shards, "--src", root, "--out", str(tmp_path / "a"), *some])
    assert (done.exit_code, done.output.count("\n")) == (0, 1)
    assert f"1 pair of possible duplicates; open {tmp_path / 'a' / PAGE}" in done.output
    done = CliRunner().invoke(
        data, ["report", shards, "--out", str(tmp_path / "b"), "--no-near-duplicates", "--json", *some]
    )
    assert json.loads(done.output)["duplicates"] is None


def test_without_the_extra_nothing_is_written(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    done = CliRunner().invoke(data, ["report", str(folders[0]), "--out", str(tmp_path / "new")])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert "mgst[report]" in done.output
    assert not (tmp_path / "new").exists()
