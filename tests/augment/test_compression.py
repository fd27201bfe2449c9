"""JPEG agrees with libjpeg, the approximation of H.264 has the documented properties, and codecs can be passed in."""

from __future__ import annotations

import dataclasses
import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor

from mgst_data.augment import compression
from mgst_data.augment.compression import H264, BlockCodec, Jpeg, from_blocks, quantisation_tables, to_blocks
from mgst_data.core import Segment
from mgst_data.video.h264 import encode_h264


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """A real picture, RGB, 96 x 96."""
    return cv2.resize(data.astronaut()[:240, 100:340], (96, 96), interpolation=cv2.INTER_AREA)


def segment_of(picture: np.ndarray, frames: int = 1) -> Segment:
    tensor = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)
    return Segment.of(tensor.expand(1, frames, *tensor.shape).clone())


def panned(picture: np.ndarray, frames: int = 8, size: int = 64) -> Segment:
    """A camera that moves over the picture, two pixels per frame."""
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    return Segment.of(torch.stack([tensor[:, :size, 2 * i : 2 * i + size] for i in range(frames)])[None])


def psnr(a: Tensor, b: Tensor) -> float:
    return float(-10 * (a - b).square().mean().clamp_min(1e-12).log10())


def libjpeg(rgb: np.ndarray, quality: int, *, subsample: bool) -> Tensor:
    factor = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if subsample else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), options)
    return torch.from_numpy(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1].copy()).permute(2, 0, 1) / 255


@pytest.mark.parametrize("subsample", [True, False])
@pytest.mark.parametrize(("height", "width"), [(96, 96), (83, 70)])
@pytest.mark.parametrize("quality", [40, 60, 75, 90, 100])
def test_jpeg_is_that_of_libjpeg(quality, height, width, subsample, portrait, generator, device):
    picture = portrait[:height, :width]
    segment = segment_of(picture).to(device)
    step = Jpeg(quality_range=(quality, quality), subsample=subsample)
    ours, theirs = step(segment, generator=generator).frames[0, 0].cpu(), libjpeg(picture, quality, subsample=subsample)
    original = segment.frames[0, 0].cpu()
    assert (ours - theirs).abs().mean() < 1.2 / 255
    # libjpeg also rounds samples to integers, which matters most at high quality.
    assert abs(psnr(ours, original) - psnr(theirs, original)) < (0.4 if quality <= 90 else 4.5)


def test_tables_are_those_that_libjpeg_writes():
    qualities = torch.arange(1, 101)
    tables = quantisation_tables(qualities).flatten(2).int()
    for quality, ours in zip(qualities.tolist(), tables, strict=True):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        theirs = Image.open(file).quantization
        assert ours.tolist() == [list(theirs[0]), list(theirs[1])]


def test_coefficients_are_those_of_opencv(portrait):
    grey = np.repeat(portrait[:8, :8, :1], 3, axis=2)
    luma, chroma = to_blocks(segment_of(grey).frames, subsample=False)
    theirs = cv2.dct(grey[..., 0].astype(np.float32) - 128) / 255
    torch.testing.assert_close(luma[0, 0, 0, 0, :, 0], torch.from_numpy(theirs), atol=1e-5, rtol=0)
    assert chroma.abs().max() < 1e-5


@pytest.mark.parametrize(("height", "width"), [(32, 48), (21, 34), (1, 1)])
def test_blocks_are_converted_back(height, width, generator):
    frames = torch.rand(2, 3, 3, height, width, generator=generator)
    torch.testing.assert_close(
        from_blocks(*to_blocks(frames, subsample=False), height, width), frames, atol=1e-5, rtol=0
    )
    grey = frames[:, :, :1].expand_as(frames)
    torch.testing.assert_close(from_blocks(*to_blocks(grey, subsample=True), height, width), grey, atol=1e-5, rtol=0)


def test_every_segment_has_its_own_quality(portrait):
    segment = Segment.of(segment_of(portrait, frames=2).frames.expand(4, 2, 3, 96, 96))
    params = Jpeg().sample(segment, torch.Generator().manual_seed(0))
    params = dataclasses.replace(params, quality=torch.tensor([10, 40, 70, 100]))
    coded = Jpeg().apply(segment, params).frames
    kept = [psnr(ours, original) for ours, original in zip(coded, segment.frames, strict=True)]
    assert kept == sorted(kept)
    assert kept[-1] > kept[0] + 10


def test_a_second_compression_hardly_changes_a_picture(portrait, generator):
    step = Jpeg(quality_range=(50, 50), subsample=False)
    once = step(segment_of(portrait), generator=generator)
    twice = step(once, generator=generator)
    assert psnr(once.frames, twice.frames) > psnr(once.frames, segment_of(portrait).frames) + 8


@pytest.mark.parametrize("step", [Jpeg(subsample=False), H264(lambda frames, crf: frames // 2)], ids=repr)
def test_the_gradient_passes_as_if_nothing_were_rounded(step, generator):
    frames = (torch.rand(2, 2, 3, 24, 24, generator=generator) * 0.2 + 0.4).requires_grad_()
    weight = torch.rand(frames.shape, generator=generator)
    segment = Segment.of(frames)
    coded = step(segment, generator=generator).frames
    assert (coded - frames).abs().max() > 1e-3
    (coded * weight).sum().backward()
    torch.testing.assert_close(frames.grad, weight, atol=1e-4, rtol=0)


def with_params(step: BlockCodec, segment: Segment, qp: int, phase: int) -> Tensor:
    params = step.sample(segment, torch.Generator().manual_seed(0))
    values = {"qp": torch.full_like(params.qp, qp), "phase": torch.full_like(params.phase, phase)}
    return step.apply(segment, dataclasses.replace(params, **values)).frames


def test_a_higher_quantiser_loses_more(portrait):
    segment = panned(portrait)
    kept = [psnr(with_params(BlockCodec(), segment, qp, 0), segment.frames) for qp in (0, 15, 23, 32, 40, 51)]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] > 36 > 30 > kept[-2] > 20


def test_a_quantiser_loses_about_as_much_as_the_same_crf(portrait):
    segment = panned(portrait, size=80)
    for value in (23, 32, 40):
        h264 = H264(encode_h264, crf_range=(value, value))(segment, generator=torch.Generator().manual_seed(0)).frames
        ours = with_params(BlockCodec(), segment, value, 0)
        assert abs(psnr(ours, segment.frames) - psnr(h264, segment.frames)) < 3


def test_nearly_still_blocks_stay_still_until_the_next_key_frame(portrait, generator):
    still = segment_of(portrait, frames=9)
    noisy = still.replace(frames=still.frames + 0.004 * torch.randn(still.frames.shape, generator=generator))
    coded = with_params(BlockCodec(key_every=4), noisy, 32, 3)[0]
    assert torch.equal(coded[:7], coded[:1].expand(7, -1, -1, -1))  # the first key frame is 3; the next is 7
    assert torch.equal(coded[7], coded[8])
    assert not torch.equal(coded[6], coded[7])


def test_only_the_blocks_that_move_are_coded(portrait):
    segment = segment_of(portrait, frames=4)
    frames = segment.frames.clone()
    frames[:, 2, :, 40:46, 70:76] = 1 - frames[:, 2, :, 40:46, 70:76].round()
    coded = with_params(BlockCodec(), segment.replace(frames=frames), 28, 0)[0]
    # The macroblock of rows 32 to 47 and columns 64 to 79; chroma is interpolated into a pixel around it.
    moved = (coded[2] != coded[0]).any(dim=0).nonzero()
    assert moved.amin(dim=0).tolist() >= [31, 63]
    assert moved.amax(dim=0)[0] <= 48
    assert moved.amax(dim=0)[1] <= 80
    assert torch.equal(coded[0], coded[1])
    assert torch.equal(coded[0], coded[3])


def test_key_frames_are_coded_independently(portrait):
    segment = panned(portrait, frames=6)
    coded = with_params(BlockCodec(key_every=4), segment, 30, 1)
    for key in (1, 5):
        alone = with_params(BlockCodec(key_every=4), segment.replace(**one_frame(segment, key)), 30, 0)
        torch.testing.assert_close(coded[:, key], alone[:, 0], atol=1e-5, rtol=0)
    # All frames are key frames; a first key frame beyond the end is the last frame.
    each = with_params(BlockCodec(key_every=1), segment, 30, 0)
    torch.testing.assert_close(each[:, 1], coded[:, 1], atol=1e-5, rtol=0)
    late = with_params(BlockCodec(key_every=20), segment, 30, 19)
    torch.testing.assert_close(late[:, 5], coded[:, 5], atol=1e-5, rtol=0)


def one_frame(segment: Segment, frame: int) -> dict[str, Tensor]:
    names = ("frames", "landmarks", "valid", "mask", "frame_label", "patch_label")
    return {name: getattr(segment, name)[:, frame : frame + 1] for name in names}


def test_the_gradient_goes_to_the_key_frame_where_that_was_copied(portrait):
    segment = segment_of(portrait, frames=3)
    frames = torch.full_like(segment.frames, 0.4).requires_grad_()
    with_params(BlockCodec(), segment.replace(frames=frames), 30, 0).sum().backward()
    assert frames.grad is not None
    assert frames.grad[:, 1:].abs().max() == 0
    torch.testing.assert_close(frames.grad.sum(), torch.tensor(float(frames.numel())), rtol=0.01, atol=0)


def test_a_codec_gets_8_bit_frames_and_the_rate_of_each_drawn_segment(generator):
    seen: list[tuple[Tensor, int]] = []

    def codec(frames: Tensor, crf: int) -> Tensor:
        seen.append((frames, crf))
        return frames.flip(0)

    segment = Segment.of(torch.rand(8, 3, 3, 5, 7, generator=generator))
    step = H264(codec, crf_range=(1, 51), p=0.5)
    params = step.sample(segment, generator)
    coded = step.apply(segment, params).frames
    rows = params.active.nonzero()[:, 0].tolist()
    assert 0 < len(rows) < 8
    assert [crf for _, crf in seen] == params.crf[rows].tolist()
    for (frames, _), row in zip(seen, rows, strict=True):
        assert frames.dtype == torch.uint8
        torch.testing.assert_close(frames / 255, segment.frames[row], atol=0.5001 / 255, rtol=0)
        torch.testing.assert_close(coded[row], frames.flip(0) / 255)


def test_the_real_codec_works(portrait, generator):
    segment = panned(portrait)
    coded = H264(encode_h264)(segment, generator=generator).frames
    assert 22 < psnr(coded, segment.frames) < 45


def test_a_codec_that_drops_frames_is_refused(make_segment, generator):
    with pytest.raises(ValueError, match=r"must return frames of shape \(4, 3, 64, 64\), got \(3, 3, 64, 64\)"):
        H264(lambda frames, crf: frames[1:])(make_segment(), generator=generator)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Jpeg(quality_range=(0, 50)),
        lambda: Jpeg(quality_range=(90, 101)),
        lambda: BlockCodec(qp_range=(20, 52)),
        lambda: BlockCodec(key_every=0),
        lambda: H264(encode_h264, crf_range=(40, 23)),
        lambda: Jpeg(p=-0.1),
    ],
)
def test_invalid_values_are_refused(build):
    with pytest.raises(ValueError, match="must be"):
        build()


def test_the_quantisers_of_chroma_are_those_of_the_standard():
    # ITU-T H.264, table 8-15: QP of chroma for luma QP 30 to 51, as (value, number of times).
    runs = ((29, 1), (30, 1), (31, 1), (32, 2), (33, 1), (34, 2), (35, 2), (36, 2), (37, 3), (38, 3), (39, 4))
    assert tuple(value for value, times in runs for _ in range(times)) == compression._CHROMA_QP
