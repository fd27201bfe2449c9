"""The input of a network: scoring and prediction show it the crop that training validates with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from face_shards import FRAMES, SIZE, face_chunk, write_face_shards
from shards.synthetic_shards import record_of
from torch import nn

from mgst_data.core.geometry import apply_transform, invert_transform
from mgst_data.core.sampling import EvenlySpaced
from mgst_data.shards import SegmentDataset, ShardReader, scale_image
from mgst_model.evaluate.crops import InputSpec, network_input
from mgst_model.evaluate.score import score_shards
from mgst_model.networks import NetworkConfig
from mgst_model.networks.checkpoint import LoadedNetwork, NetworkCard
from mgst_model.networks.output import SegmentOutput
from mgst_model.predict.faces import FaceRun
from mgst_model.train import DetectionTask

SIDE = 32
# Crops are rounded to 8 bits before scoring.
HALF_A_LEVEL = 0.5 / 255 + 1e-6
SINGLE, CLIPS = InputSpec(frames=4, min_frames=1, size=SIDE), InputSpec(frames=4, min_frames=2, size=SIDE)


class Camera(nn.Module):
    """Keeps the frames that it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, frames):
        self.seen += [*frames]
        logits = frames.mean(dim=(2, 3, 4))
        return SegmentOutput(logits.mean(dim=1), logits, None, None)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two real videos of a face that moves."""
    return write_face_shards(tmp_path_factory.mktemp("crops") / "shards", train=0, val=2)


@pytest.fixture
def chunk():
    return face_chunk(record_of("a"))


def cropped(chunk, spec, positions=range(FRAMES)):
    return network_input(chunk, positions, list(chunk.frames(positions)), spec)


@pytest.mark.parametrize(("kind", "shortest"), [("image", 1), ("parallel", 2)])
def test_the_input_of_a_network_is_in_its_card(kind, shortest):
    card = NetworkCard(config=NetworkConfig(kind=kind), frames=4, size=SIDE, info={}, face_margin=0.3)
    assert InputSpec.of(card) == InputSpec(frames=4, min_frames=shortest, size=SIDE, face_margin=0.3)


@pytest.mark.parametrize("spec", [SINGLE, CLIPS])
def test_without_a_margin_the_network_gets_the_whole_crop(spec, chunk):
    frames, edges = cropped(chunk, spec)
    whole = np.stack([scale_image(crop, SIDE) for crop in chunk.frames()])
    assert np.array_equal(frames.permute(0, 2, 3, 1).numpy(), whole)
    assert (edges == torch.tensor((-0.5, -0.5, SIZE - 0.5, SIZE - 0.5))).all()


def test_a_network_for_frames_gets_the_box_of_each_and_one_for_segments_one_box(chunk):
    _, each = cropped(chunk, replace(SINGLE, face_margin=0.1))
    _, one = cropped(chunk, replace(CLIPS, face_margin=0.1))
    assert each.shape == one.shape == (FRAMES, 4)
    assert len({tuple(row) for row in one.tolist()}) == 1
    assert len({tuple(row) for row in each.tolist()}) == FRAMES
    torch.testing.assert_close(each.mean(dim=0), one[0])
    # The face moves up by a pixel in every frame.
    torch.testing.assert_close(each[:, [1, 3]].diff(dim=0), torch.full((FRAMES - 1, 2), -1.0), rtol=0, atol=1e-4)


def test_frames_without_a_face_show_the_whole_crop(chunk):
    valid = torch.ones(FRAMES, 68, dtype=torch.bool)
    valid[2, :20] = False
    frames, edges = cropped(replace(chunk, valid=valid), replace(SINGLE, face_margin=0.1))
    assert frames.shape == (FRAMES, 3, SIDE, SIDE)
    whole = [row == [-0.5, -0.5, SIZE - 0.5, SIZE - 0.5] for row in edges.tolist()]
    assert whole == [i == 2 for i in range(FRAMES)]


@pytest.mark.parametrize("margin", [0.0, 0.125, 0.5])
@pytest.mark.parametrize("kind", ["image", "parallel"])
def test_scoring_shows_the_crop_of_the_validation(kind, margin, shards, make_experiment):
    frames = 1 if kind == "image" else FRAMES
    experiment = make_experiment(
        network={"kind": kind},
        data={"frames": frames, "size": SIDE, "face_margin": margin},
        augment={"blend_at": "native", "temporal_p": 0.0},
    )
    camera = Camera()
    network = LoadedNetwork(
        network=camera.eval(), config=NetworkConfig(kind=kind), frames=FRAMES, size=SIDE, info={}, face_margin=margin
    )
    score_shards(network, str(shards), segments=1)
    reader = ShardReader.open(str(shards))
    batch = SegmentDataset(reader, EvenlySpaced(FRAMES)).__getitems__(range(len(reader)))
    segment = batch.to_segment()
    if kind == "image":
        rows = {name: getattr(segment, name).flatten(0, 1)[:, None] for name in ("frames", "landmarks", "valid")}
        segment = type(segment).of(rows["frames"], rows["landmarks"], valid=rows["valid"])
    task = DetectionTask(experiment.data, experiment.augment, experiment.loss, experiment.network)
    shown = task.test_crop(segment, generator=torch.Generator()).frames.reshape(-1, FRAMES, 3, SIDE, SIDE)
    assert len(camera.seen) == len(shown) == 2
    torch.testing.assert_close(torch.stack(camera.seen), shown, rtol=0, atol=HALF_A_LEVEL)


@pytest.mark.parametrize("spec", [SINGLE, CLIPS])
def test_a_prediction_shows_the_same_crop_and_says_where_it_is(spec, chunk):
    spec = replace(spec, face_margin=0.125)
    run = FaceRun.of(chunk, spec, read=FRAMES)
    frames, edges = cropped(chunk, spec)
    assert np.array_equal(run.pixels, frames.permute(0, 2, 3, 1).numpy())
    back = invert_transform(chunk.crop_from_frame)
    corners = apply_transform(back, edges.double().reshape(-1, 2, 2)).reshape(-1, 4).numpy()
    np.testing.assert_allclose(run.squares, corners)
    points = apply_transform(back, chunk.landmarks.double()).numpy()
    whole = FaceRun.of(chunk, replace(spec, face_margin=None), read=FRAMES)
    for frame, (x0, y0, x1, y1) in enumerate(run.squares):
        # Where one box serves all frames, the face may leave it by its motion; the margin is wider.
        assert (points[frame] >= (x0, y0)).all()
        assert (points[frame] <= (x1, y1)).all()
        assert (x1 - x0) * (y1 - y0) < 0.8 * np.ptp(whole.squares[frame][::2]) * np.ptp(whole.squares[frame][1::2])
