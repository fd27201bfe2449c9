"""Training, scoring and detection on a device: nothing is mixed, and the CPU waits only in listed places."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from augment import faces68
from lightning.fabric import Fabric
from pretend_device import DEVICE, held, pretend
from torch import nn
from torch.nn import functional

from mgst_data.core import generator_for
from mgst_data.faces.detect import MTCNNDetector
from mgst_data.shards import SegmentBatch
from mgst_model.evaluate.windows import score_windows
from mgst_model.networks import NetworkConfig, build_network, fold_batch_norms
from mgst_model.networks.output import SegmentOutput
from mgst_model.train import DetectionTask, StepReport, Trainer, TrainWatcher

# torch.autocast warns where there is no driver.
pytestmark = pytest.mark.filterwarnings("ignore:User provided device_type of 'cuda'")

SIDE, T, B = 64, 4, 4
# Each step reads the losses and the norm of the gradient, to stop if they are not finite.
STEP = {
    "mgst_model/train/trainer.py:Trainer._pass tolist": 1,
    "mgst_model/train/trainer.py:Trainer._clip _local_scalar_dense": 1,
}
# Scores of segments, frames and patches, once for each call of the network. Both windows share a call.
SCORING = {
    "mgst_model/evaluate/windows.py:_scores_of.<locals>.<genexpr> copy to the CPU": 2,
    "mgst_model/evaluate/windows.py:_scores_of copy to the CPU": 1,
}
# Every stage of the detector must know how many candidates are left.
DETECTION = {
    "mgst_data/faces/detect.py:MTCNNDetector.__call__",
    "mgst_data/faces/detect.py:MTCNNDetector._propose",
    "mgst_data/faces/detect.py:MTCNNDetector._reject",
    "mgst_data/faces/detect.py:MTCNNDetector._refine",
    "mgst_data/faces/detect.py:_nms_by_smaller",
    "mgst_data/faces/detect.py:_on_frame",
    "mgst_data/faces/suppress.py:suppress",
    "mgst_data/core/records.py:Detections.__getitem__",
}


@pytest.fixture(autouse=True)
def _seeded():
    """Seeds torch's default generator, which networks draw their weights from, and restores it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def batch(fakes: bool = False) -> SegmentBatch:
    """Returns a batch as a loader makes it; every second segment may be a fake, the first of them with a mask."""
    segment = faces68.make(B, T, SIDE)
    label = torch.tensor([0, 1] * (B // 2)) * fakes
    frame_label = label[:, None].expand(B, T).clone()
    return SegmentBatch(
        frames=(segment.frames * 255).to(torch.uint8),
        landmarks=segment.landmarks,
        valid=segment.valid,
        mask=torch.full((B, T, 1, SIDE, SIDE), 255, dtype=torch.uint8) if fakes else None,
        has_mask=torch.arange(B) == 1 if fakes else torch.zeros(B, dtype=torch.bool),
        label=label,
        frame_label=frame_label,
        frame_indices=torch.arange(T).expand(B, T),
        keys=tuple("abcd"),
    )


def said(examples) -> SegmentOutput:
    """Returns the output of an untrained network on the device of the examples."""
    (n, t), g = examples.valid.shape, examples.patch_target.shape[-1]
    generator = generator_for(0, "said")
    frame = torch.randn(n, t, generator=generator).to(examples.valid.device, non_blocking=True).requires_grad_()
    embedding = torch.randn(n, t, 8, generator=generator).to(examples.valid.device, non_blocking=True)
    patches = torch.randn(n, t - 1, g, g, generator=generator).to(examples.valid.device, non_blocking=True)
    return SegmentOutput(frame.mean(dim=1), frame, functional.normalize(embedding, dim=-1), patches)


TASKS = {
    "blends": {},
    "robust": {"augment": {"recipe": "robust", "temporal_p": 1.0}, "loss": {"patch_target": "boundary"}},
    "native": {
        "augment": {"blend_at": "native", "blend_preset": "varied", "recipe": "varied"},
        "data": {"face_margin": 0.1},
        "loss": {"single_centre": True},
    },
    "both": {"data": {"fakes": "both"}, "loss": {"paired_weight": 1.0}},
}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_does_not_wait_for_the_device(make_experiment, name):
    options = TASKS[name]
    own = make_experiment(**{**options, "data": {"frames": T, "size": SIDE, **options.get("data", {})}})
    task = DetectionTask(own.data, own.augment, own.loss, own.network)
    given = batch(fakes=own.data.fakes != "blends")
    plain = task.examples(given.to_segment(grid=4), generator_for(0), has_mask=given.has_mask)
    losses = task.losses(said(plain), plain, epoch=1.0)
    with pretend() as waits:
        task.to("cuda")
        waits.clear()
        segment = given.to_segment("cuda", grid=4)
        for make in (task.test_examples, task.examples):
            examples = make(segment, generator_for(0), has_mask=given.has_mask, label=given.label)
        output = said(examples)
        found = task.losses(output, examples, epoch=1.0)
        task.update(output, examples)
        assert not waits
        for part in losses:
            torch.testing.assert_close(held(found[part]), losses[part], atol=1e-3, rtol=1e-3)


def test_a_task_without_given_labels_waits_once(make_experiment):
    own = make_experiment(data={"frames": T, "size": SIDE})
    task = DetectionTask(own.data, own.augment, own.loss, own.network)
    with pretend() as waits:
        task.examples(batch().to_segment("cuda", grid=4), generator_for(0))
    assert dict(waits) == {"mgst_model/train/task.py:DetectionTask._make copy to the CPU": 1}


class OnDevice(Fabric):
    """One process on the pretend device."""

    device = DEVICE

    def setup(self, network, optimizer):
        return network, optimizer

    def backward(self, loss):
        loss.backward()

    def clip_gradients(self, network, optimizer, *, max_norm, error_if_nonfinite):
        return nn.utils.clip_grad_norm_(network.parameters(), max_norm, error_if_nonfinite=error_if_nonfinite)

    def no_backward_sync(self, network):
        return nullcontext()


class NoEvent:
    """An event of CUDA."""

    def __init__(self, enable_timing):
        pass

    def record(self):
        pass

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return 1.0


class NoLoader:
    """A loader that the test does not read."""

    def __len__(self):
        return 4

    def state_dict(self):
        return {"epoch": 0}

    def load_state_dict(self, state):
        pass

    def __iter__(self):
        return iter(())


class Steps(TrainWatcher):
    def __init__(self):
        self.seen = []

    def see(self, report):
        self.seen.append(report)


def network_of(backbone, **changes):
    options = {"dim": 16, "heads": 2, "blocks": 3, "mlp_ratio": 2.0, "embedding_dim": 8, "drop_path_rate": 0.0}
    return build_network(NetworkConfig(backbone=backbone, pretrained="random", **(options | changes)))


def test_a_training_step_waits_only_for_its_losses(monkeypatch, make_experiment):
    monkeypatch.setattr("torch.cuda.Event", NoEvent)
    own = make_experiment(data={"frames": T, "size": SIDE}, train={"clip_norm": 0.0, "ema_decay": 0.0})
    task = DetectionTask(own.data, own.augment, own.loss, own.network)
    network, watcher, given = network_of("test_convnext"), Steps(), batch()
    with pretend() as waits:
        fabric = OnDevice(accelerator="cpu", devices=1)
        trainer = Trainer(network.to("cuda"), task, (NoLoader(), NoLoader()), own.train, fabric=fabric, watcher=watcher)
        for _ in range(2):
            waits.clear()
            trainer._step([(given, trainer._examples(given, 0))], 0)
            assert dict(waits) == STEP
    assert [type(report) for report in watcher.seen] == [StepReport] * 2


@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_vit"])
def test_scoring_waits_once_for_each_kind_of_score(backbone):
    network = network_of(backbone).eval()
    pictures = (faces68.make(1, 6, SIDE).frames[0] * 255).to(torch.uint8)
    plain = score_windows(network, pictures, frames=T)
    with pretend() as waits:
        there = network.to("cuda")
        fold_batch_norms(there)
        waits.clear()
        scores = score_windows(there, pictures, frames=T, device="cuda")
    assert dict(waits) == SCORING
    for name in ("window", "frame", "patch"):
        torch.testing.assert_close(getattr(scores, name), getattr(plain, name), atol=1e-4, rtol=1e-3)


def test_detection_waits_only_where_it_must_know_how_many_faces_there_are():
    frames = (faces68.make(1, 2, SIDE).frames[0] * 255).to(torch.uint8)
    with pretend() as waits:
        detector = MTCNNDetector(min_face=20.0, thresholds=(0.1, 0.0, 0.0), device="cuda")
        waits.clear()
        found = detector(frames)
    plain = MTCNNDetector(min_face=20.0, thresholds=(0.1, 0.0, 0.0))(frames)
    assert len(found) == len(plain) > 0
    torch.testing.assert_close(found.boxes, plain.boxes)
    assert {place.split(" ")[0] for place in waits} <= DETECTION
