"""Which frames and regions carry a score: spans, maps, and the check that maps depend on the weights."""

import copy

import numpy as np
import pytest
import torch
from face_videos import faces
from scipy.stats import spearmanr
from torch import nn

from mgst_model.evaluate.explain import Explainer
from mgst_model.networks import NetworkConfig, build_network
from mgst_model.networks.checkpoint import PACKAGED, LoadedNetwork, load_network
from mgst_model.networks.output import SegmentOutput
from mgst_model.predict import Detector
from mgst_model.predict.evidence import hottest, top_windows


class Corner(nn.Module):
    """The logit is the brightness of the lower right corner, in feature maps of 4 x 4."""

    def __init__(self):
        super().__init__()
        self.maps = nn.AvgPool2d(8)
        self.weight = nn.Parameter(torch.tensor(1.0))

    def forward(self, frames):
        maps = self.maps(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        logits = self.weight * maps[..., 3, 3].mean(dim=2)
        return SegmentOutput(logits.mean(dim=1), logits, None, None)


def test_a_map_is_highest_where_the_score_comes_from():
    frames = torch.full((3, 3, 32, 32), 10, dtype=torch.uint8)
    frames[:, :, 24:, 24:] = 200
    maps = Explainer(Corner().eval())(frames, batch=2)
    assert maps.shape == (3, 4, 4)
    assert (maps.flatten(1).argmax(dim=1) == 15).all()
    assert maps.max() == 1
    assert maps.min() >= 0


def test_a_network_without_feature_maps_is_an_error():
    class Flat(Corner):
        def forward(self, frames):
            logits = self.weight * frames.mean(dim=(2, 3, 4))
            return SegmentOutput(logits.mean(dim=1), logits, None, None)

    with pytest.raises(ValueError, match="no feature maps"):
        Explainer(Flat().eval())(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


def test_maps_depend_on_the_weights(generator):
    """Sanity check of Adebayo et al. (2018): a network with shuffled weights has other maps."""
    network = load_network(PACKAGED).network
    frames = torch.from_numpy(np.stack(faces(4, (0, 20), size=(192, 192), side=190))).permute(0, 3, 1, 2)
    maps = Explainer(network)(frames)
    assert torch.equal(maps, Explainer(network)(frames, batch=1).reshape(maps.shape)) or torch.allclose(
        maps, Explainer(network)(frames, batch=1), atol=1e-3
    )
    shuffled = copy.deepcopy(network)
    with torch.no_grad():
        for weight in shuffled.parameters():
            order = torch.randperm(weight.numel(), generator=generator)
            weight.copy_(weight.flatten()[order].reshape(weight.shape))
    other = Explainer(shuffled)(frames)
    # A constant map, where nothing raises the logit, is not correlated with anything.
    pairs = [(a.flatten(), b.flatten()) for a, b in zip(maps, other, strict=True)]
    found = [spearmanr(a, b).statistic if min(a.std(), b.std()) > 0 else 0.0 for a, b in pairs]
    assert abs(np.mean(found)) < 0.6


def test_the_windows_with_the_highest_scores_make_spans():
    scores = (0.1, 0.8, 0.9, 0.2, 0.7, 0.1)
    windows = [(8 * i, 8 * i + 7, score) for i, score in enumerate(scores)]
    assert top_windows(windows) == [[1, 2], [4]]
    assert top_windows(windows, 1) == [[2]]
    assert top_windows(windows[:1]) == [[0]]
    heat = np.zeros((4, 4), np.float16)
    heat[1, 2] = 1
    region, kept = hottest(heat, np.array([100.0, 50.0, 140.0, 90.0]))
    assert region == (120, 60, 130, 70)
    assert kept.dtype == np.float32


@pytest.fixture(scope="module")
def detector():
    config = NetworkConfig(kind="image", backbone="test_efficientnet", pretrained="random")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(config).eval()
    scores = [0.1, 0.2]
    conditions = {"face_size": [9000.0, 9001.0], "frames": [1.0, 1.0]}
    known = {"real": scores, "people": 2, "person": [0, 1], "conditions": conditions}
    info = {"calibration": {"videos": known}}
    return Detector(LoadedNetwork(network=network, config=config, frames=4, size=64, info=info), explain=True)


def test_a_prediction_has_evidence_and_doubts(detector):
    found = detector.predict(np.stack(faces(20)), fps=25.0)
    (track,) = found.tracks
    assert track.maps.shape[0] == len(track) == 20
    evidence = found.evidence()
    assert evidence.maps == "gradients"
    assert sum(span.of_frames for span in evidence.spans) == pytest.approx(3 * 4 / 20)
    best = max(track.windows, key=lambda window: window.score)
    assert evidence.spans[0].frames[0] <= best.first <= best.last <= evidence.spans[0].frames[1]
    x0, y0, x1, y1 = evidence.spans[0].region
    square = track.squares[evidence.spans[0].peak]
    assert square[0] - 1e-6 <= x0 < x1 <= square[2] + 1e-6
    assert square[1] - 1e-6 <= y0 < y1 <= square[3] + 1e-6
    meaning = found.meaning(threshold=0.0)
    assert meaning.verdict == "cannot say"
    assert meaning.doubts[0].startswith("the face is too small (")
    assert track.conditions["frames"] == 20
    assert {"face_size", "sharpness", "turn", "brightness"} < set(track.conditions)
