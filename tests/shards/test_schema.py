import dataclasses
import inspect
import io
import json
import pickle

import numpy as np
import pytest
import torch
from synthetic_shards import chunk_of, record_of

from mgst_data.shards import FaceChunk, decode_chunk, encode_chunk, schema, split_key, verify_sample
from mgst_data.shards.images import FORMATS, decode_image, decode_mask, encode_image, encode_mask

RECORD = record_of("ffpp_c23_Deepfakes-003-000", label=1)


def plain(chunk: FaceChunk) -> dict:
    """Returns the fields as values that can be compared."""
    values = {f.name: getattr(chunk, f.name) for f in dataclasses.fields(chunk)}
    return {k: (v.dtype, v.tolist()) if isinstance(v, torch.Tensor) else v for k, v in values.items()}


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("image_format", FORMATS)
def test_a_chunk_is_unchanged_after_encoding_and_decoding_except_for_paths(image_format, masks):
    chunk = chunk_of(RECORD, 3, 12, image_format=image_format, masks=masks)
    sample = encode_chunk(chunk)
    expected = dataclasses.replace(chunk, record=dataclasses.replace(RECORD, path=""))
    assert plain(decode_chunk(sample)) == plain(expected)
    assert encode_chunk(decode_chunk(sample)) == sample
    assert verify_sample(sample) == []


def test_the_members_follow_the_schema_and_the_key_groups_them():
    chunk = chunk_of(RECORD, 3, 12, t=2, masks=True)
    assert list(encode_chunk(chunk)) == [
        *("json", "landmarks.npy", "landmarks_raw.npy", "valid.npy", "boxes.npy", "scores.npy"),
        *("000.jpg", "001.jpg", "000.mask.png", "001.mask.png"),
    ]
    assert not set(chunk.key) & {".", "/"}
    assert split_key(chunk.key) == (RECORD.key, 3, 12)


def test_damaged_frames_are_stored_by_their_numbers_in_the_video():
    marks = torch.tensor([False, True, False, False, True])
    chunk = dataclasses.replace(chunk_of(RECORD, 0, 2), damaged=marks)
    sample = encode_chunk(chunk)
    assert json.loads(sample["json"])["damaged"] == chunk.frame_indices[marks].tolist() == [21, 24]
    assert decode_chunk(sample).damaged.tolist() == marks.tolist()
    assert verify_sample(sample) == []


def test_shards_of_earlier_versions_have_no_damaged_frames():
    sample = encode_chunk(chunk_of(RECORD))
    info = json.loads(sample["json"])
    del info["damaged"]
    sample["json"] = json.dumps(info).encode()
    assert decode_chunk(sample).damaged.tolist() == [False] * 5
    assert verify_sample(sample) == []


def test_names_that_are_not_utf8_are_preserved():
    odd = dataclasses.replace(RECORD, video="Ünï/\udce4\udcff.mp4")
    sample = encode_chunk(chunk_of(odd))
    sample["json"].decode("ascii")
    assert decode_chunk(sample).record.video == odd.video


def test_only_the_requested_frames_are_decoded(monkeypatch):
    decoded = []
    monkeypatch.setattr(schema, "decode_image", lambda data: decoded.append(data) or decode_image(data))
    chunk = decode_chunk(encode_chunk(chunk_of(RECORD)))
    assert not decoded
    images = list(chunk.frames([3, 1]))
    assert decoded == [chunk.images[3], chunk.images[1]]
    assert np.array_equal(images[0], decode_image(chunk.images[3]))


def without(name):
    return lambda sample: sample.pop(name)


def with_json(**changes):
    def change(sample):
        sample["json"] = json.dumps({**json.loads(sample["json"]), **changes}).encode()

    return change


def with_array(name, array):
    def change(sample):
        stream = io.BytesIO()
        np.save(stream, array)
        sample[name] = stream.getvalue()

    return change


def with_member(name, data):
    return lambda sample: sample.update({name: data})


NOISE = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (without("json"), "'json' is missing"),
        (without("valid.npy"), "'valid.npy' is missing"),
        (without("004.jpg"), "4 crops for 5 frames"),
        (without("001.jpg"), "1 crops for 5 frames"),
        (without("002.mask.png"), "2 masks for 5 frames"),
        (with_member("005.png", b""), "unknown member '005.png'"),
        (with_member("json", b"{"), "Expecting"),
        (with_member("json", b"[]"), "list indices"),
        (with_json(schema=99), "schema 99, but this version reads 1"),
        (with_json(label=0), "label 0 contradicts method 'Deepfakes'"),
        (with_json(label=2), "label must be 0 (real) or 1 (fake), got 2"),
        (with_json(track="0"), "the JSON has '0' as 'track'"),
        (with_json(frame_indices=[0, 1, 2, 3]), "must have shape (4,"),
        (with_json(frame_indices=[0, 1, 2, 4, 5]), "do not ascend by one"),
        (with_json(pts=[0.0, 0.1, 0.3, 0.2, 0.4]), "pts descend"),
        (with_json(image_format="bmp"), "unknown image format 'bmp'; known: jpg"),
        (with_json(damaged=[2, 99]), "the damaged frames [2, 99] are not frames of the chunk"),
        (with_json(damaged=[2, 2]), "the damaged frames [2, 2] are not frames of the chunk"),
        (with_json(damaged=["2"]), "the damaged frames ['2'] are not frames"),
        (with_json(damaged=2), "the JSON has 2 as 'damaged'"),
        (with_json(crop_from_frame=[[1.0, 0.0]]), "crop_from_frame must have shape (2, 3), got (1, 2)"),
        (
            with_array("landmarks.npy", np.zeros((5, 7, 2), np.float32)),
            "landmarks_raw must have shape (5, 7, 2), got (5, 6, 2)",
        ),
        (
            with_array("landmarks.npy", np.full((5, 6, 2), np.nan, np.float32)),
            "landmarks contains values that are not finite",
        ),
        (with_array("boxes.npy", np.zeros((5, 3), np.float32)), "boxes must have shape (5, 4), got (5, 3)"),
        (with_array("scores.npy", np.zeros(4, np.float32)), "scores must have shape (5,), got (4,)"),
        (with_member("scores.npy", b"nonsense"), "magic"),
        (with_member("002.jpg", b"nonsense"), "crop 2 is damaged"),
        (with_member("002.jpg", b""), "crop 2 is damaged"),
        (with_member("002.jpg", encode_image(NOISE)[:-200]), "crop 2 is damaged"),
        (with_member("002.jpg", encode_image(NOISE[:, 1:].copy())), "crop 2 has size 15x16, not 16x16"),
        (with_member("003.mask.png", encode_mask(NOISE[1:, :, 0].copy())), "mask 3 has size 16x15"),
    ],
)
# The schema itself must check types and shapes, because users run it without run-time type checks.
def test_every_violation_is_reported(change, complaint, unchecked_chunks):
    sample = encode_chunk(chunk_of(RECORD, masks=True))
    change(sample)
    problems = verify_sample(sample)
    assert len(problems) == 1
    assert complaint in problems[0]


@pytest.fixture
def unchecked_chunks(monkeypatch):
    """Removes the run-time type check of FaceChunk, which users do not have."""
    monkeypatch.setattr(FaceChunk, "__init__", inspect.unwrap(FaceChunk.__init__))


def test_no_pickle_data_is_loaded():
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    sample = encode_chunk(chunk_of(RECORD))
    with_array("scores.npy", np.array([Bomb()] * 5, dtype=object))(sample)
    assert "objects" in verify_sample(sample)[0]
    sample["scores.npy"] = pickle.dumps(Bomb())
    assert len(verify_sample(sample)) == 1


def test_a_contradictory_chunk_is_an_error():
    chunk = chunk_of(RECORD)
    with pytest.raises(ValueError, match="4 crops for 5 frames"):
        dataclasses.replace(chunk, images=chunk.images[:4])


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_lossless_formats_preserve_all_pixels(image_format):
    assert np.array_equal(decode_image(encode_image(NOISE, image_format=image_format)), NOISE)
    assert np.array_equal(decode_mask(encode_mask(NOISE[..., 0].copy())), NOISE[..., 0])


def test_jpeg_keeps_full_chroma_and_the_order_of_channels():
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, ::2, 0] = 255  # red stripes of one pixel: subsampled chroma would mix them with black
    decoded = decode_image(encode_image(image)).astype(int)
    assert np.abs(decoded - image).max() < 40
    with pytest.raises(ValueError, match="'gif'"):
        encode_image(image, image_format="gif")


def test_a_chunk_without_frames_or_landmarks_is_refused():
    chunk = chunk_of(RECORD)
    bare = {name: getattr(chunk, name)[:, :0] for name in ("landmarks", "landmarks_raw", "valid")}
    with pytest.raises(ValueError, match="no frames or no landmarks"):
        dataclasses.replace(chunk, **bare)
    per_frame = ("frame_indices", "pts", "landmarks", "landmarks_raw", "valid", "boxes", "scores", "images", "damaged")
    with pytest.raises(ValueError, match="no frames or no landmarks"):
        dataclasses.replace(chunk, **{name: getattr(chunk, name)[:0] for name in per_frame})


def test_the_area_of_a_face_is_in_pixels_of_the_video():
    boxes = torch.tensor([[1.0, 2.0, 9.0, 6.0], [0.0, 0.0, 2.0, 1.0]])
    # A pixel of the crop is two pixels of the video wide and high.
    assert dataclasses.replace(chunk_of(RECORD, t=2), boxes=boxes).face_area == 16 * 8 + 4 * 2


def test_arrays_are_stored_in_the_types_of_the_schema():
    chunk = chunk_of(RECORD)
    names = ("landmarks", "landmarks_raw", "boxes", "scores")
    sample = encode_chunk(dataclasses.replace(chunk, **{name: getattr(chunk, name).double() for name in names}))
    assert sample == encode_chunk(chunk)
    for name in names:
        assert np.load(io.BytesIO(sample[f"{name}.npy"])).dtype == np.dtype("<f4")
    assert np.load(io.BytesIO(sample["valid.npy"])).dtype == np.dtype("|b1")


def test_equal_chunks_have_equal_bytes_whatever_the_order_of_their_models():
    chunk = chunk_of(RECORD)
    turned = dataclasses.replace(chunk, models=dict(reversed(chunk.models.items())))
    assert list(turned.models) != list(chunk.models)
    assert encode_chunk(turned) == encode_chunk(chunk)
