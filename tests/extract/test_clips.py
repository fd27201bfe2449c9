"""The whole extraction of real clips in the directory layout of FaceForensics++."""

from __future__ import annotations

from pathlib import Path

from clip_tree import link_clips

from mgst_data.datasets import Scan, scan_dataset
from mgst_data.extract import ExtractConfig, extract
from mgst_data.shards import ShardFolder, ShardReader
from mgst_data.shards.verify import verify_shard


def test_real_clips_in_the_layout_of_faceforensics(clips: Path, tmp_path: Path):
    linked = link_clips(clips, tmp_path / "ff")
    scan = scan_dataset(tmp_path / "ff")
    assert {Path(record.video).stem for record in scan.records} == set(linked)

    # Only two short clips and a swap of 90 frames, because all clips take minutes.
    wanted = {"vretalk_5.mp4", "intel_eat.mkv", "gfxswap_lp_d9__from_lp_d18.mp4"}
    records = tuple(record for record in scan.records if linked[Path(record.video).stem] in wanted)
    summary = extract(Scan(records, ()), ExtractConfig(), tmp_path / "out", executor="serial", device="cpu")
    assert summary.complete
    assert not summary.skipped
    assert summary.totals.overall.images == 122 + 47 + 90  # one face on every frame of all three
    folder = ShardFolder.read(tmp_path / "out")
    assert [problem for report in folder.reports() for problem in verify_shard(folder.location, report)] == []
    fakes = ShardReader.open(tmp_path / "out", split="test", label=1)
    assert {chunk.record.method for chunk in fakes} == {"FaceSwap"}
