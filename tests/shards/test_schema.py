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
    """Its fields as values that compare."""
    values = {f.name: getattr(chunk, f.name) for f in dataclasses.fields(chunk)}
    return {k: (v.dtype, v.tolist()) if isinstance(v, torch.Tensor) else v for k, v in values.items()}


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("image_format", FORMATS)
def test_a_chunk_comes_back_as_it_was_but_for_the_paths_of_this_machine(image_format, masks):
    chunk = chunk_of(RECORD, 3, 12, image_format=image_format, masks=masks)
    sample = encode_chunk(chunk)
    expected = dataclasses.replace(chunk, record=dataclasses.replace(RECORD, path=""))
    assert plain(decode_chunk(sample)) == plain(expected)
    assert encode_chunk(decode_chunk(sample)) == sample
    assert verify_sample(sample) == []


def test_the_members_are_those_of_the_schema_and_the_key_groups_them():
    chunk = chunk_of(RECORD, 3, 12, t=2, masks=True)
    assert list(encode_chunk(chunk)) == [
        *("json", "landmarks.npy", "landmarks_raw.npy", "valid.npy", "boxes.npy", "scores.npy"),
        *("000.jpg", "001.jpg", "000.mask.png", "001.mask.png"),
    ]
    assert not set(chunk.key) & {".", "/"}
    assert split_key(chunk.key) == (RECORD.key, 3, 12)


def test_damaged_frames_are_named_by_their_numbers_in_the_video():
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


def test_names_that_are_no_utf8_survive():
    odd = dataclasses.replace(RECORD, video="Ünï/\udce4\udcff.mp4")
    sample = encode_chunk(chunk_of(odd))
    sample["json"].decode("ascii")
    assert decode_chunk(sample).record.video == odd.video


def test_only_the_frames_asked_for_are_decoded(monkeypatch):
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
        (with_json(label=2), "label is 0"),
        (with_json(track="0"), "'track' in the json is '0'"),
        (with_json(frame_indices=[0, 1, 2, 3]), "should be (4,"),
        (with_json(frame_indices=[0, 1, 2, 4, 5]), "do not ascend by one"),
        (with_json(pts=[0.0, 0.1, 0.3, 0.2, 0.4]), "pts descend"),
        (with_json(image_format="bmp"), "none of"),
        (with_json(damaged=[2, 99]), "damaged [2, 99] is no list of the chunk's frames"),
        (with_json(damaged=[2, 2]), "damaged [2, 2] is no list of the chunk's frames"),
        (with_json(damaged=["2"]), "damaged ['2'] is no list"),
        (with_json(damaged=2), "'damaged' in the json is 2"),
        (with_json(crop_from_frame=[[1.0, 0.0]]), "crop_from_frame (1, 2) should be (2, 3)"),
        (with_array("landmarks.npy", np.zeros((5, 7, 2), np.float32)), "landmarks_raw (5, 6, 2) should be (5, 7, 2)"),
        (with_array("landmarks.npy", np.full((5, 6, 2), np.nan, np.float32)), "landmarks is not finite"),
        (with_array("boxes.npy", np.zeros((5, 3), np.float32)), "boxes (5, 3) should be (5, 4)"),
        (with_array("scores.npy", np.zeros(4, np.float32)), "scores (4,) should be (5,)"),
        (with_member("scores.npy", b"nonsense"), "magic"),
        (with_member("002.jpg", b"nonsense"), "crop 2 is damaged"),
        (with_member("002.jpg", b""), "crop 2 is damaged"),
        (with_member("002.jpg", encode_image(NOISE)[:-200]), "crop 2 is damaged"),
        (with_member("002.jpg", encode_image(NOISE[:, 1:].copy())), "crop 2 is 15x16, not 16 square"),
        (with_member("003.mask.png", encode_mask(NOISE[1:, :, 0].copy())), "mask 3 is 16x15"),
    ],
)
# Types and shapes have to be found out by the schema itself: it also runs where nothing else checks them.
def test_every_violation_is_named(change, complaint, unchecked_chunks):
    sample = encode_chunk(chunk_of(RECORD, masks=True))
    change(sample)
    problems = verify_sample(sample)
    assert len(problems) == 1
    assert complaint in problems[0]


@pytest.fixture
def unchecked_chunks(monkeypatch):
    """Undoes the run-time type check of FaceChunk, which users do not have."""
    monkeypatch.setattr(FaceChunk, "__init__", inspect.unwrap(FaceChunk.__init__))


def test_nothing_is_unpickled():
    class Bomb:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    sample = encode_chunk(chunk_of(RECORD))
    with_array("scores.npy", np.array([Bomb()] * 5, dtype=object))(sample)
    assert "objects" in verify_sample(sample)[0]
    sample["scores.npy"] = pickle.dumps(Bomb())
    assert len(verify_sample(sample)) == 1


def test_a_contradictory_chunk_cannot_be_made():
    chunk = chunk_of(RECORD)
    with pytest.raises(ValueError, match="4 crops for 5 frames"):
        dataclasses.replace(chunk, images=chunk.images[:4])


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_lossless_formats_lose_nothing(image_format):
    assert np.array_equal(decode_image(encode_image(NOISE, image_format=image_format)), NOISE)
    assert np.array_equal(decode_mask(encode_mask(NOISE[..., 0].copy())), NOISE[..., 0])


def test_jpeg_keeps_full_chroma_and_the_order_of_channels():
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, ::2, 0] = 255  # red stripes of one pixel: halved chroma would mix them with the black between
    decoded = decode_image(encode_image(image)).astype(int)
    assert np.abs(decoded - image).max() < 40
    with pytest.raises(ValueError, match="'gif'"):
        encode_image(image, image_format="gif")
