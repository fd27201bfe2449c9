import json
import subprocess
import sys

import pytest
from synthetic_shards import chunks_of

READ = """
import glob, json, sys
import webdataset

shards = sorted(glob.glob(sys.argv[1] + "/*.tar"))
samples = [
    {
        "key": sample["__key__"],
        "json": sample["json"],
        "landmarks": sample["landmarks.npy"].tolist(),
        "valid": sample["valid.npy"].tolist(),
        "shape": sample["004.jpg"].shape,
        "mean": float(sample["004.jpg"].mean()),
    }
    for sample in webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8")
]
assert not any(name.startswith("mgst") for name in sys.modules)
print(json.dumps(samples))
"""


@pytest.mark.slow
def test_plain_webdataset_reads_the_shards_with_no_code_of_ours(make_folder, records):
    out = make_folder()
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", READ, str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    samples = {sample["key"]: sample for sample in json.loads(done.stdout)}
    chunks = {chunk.key: chunk for record in records for chunk in chunks_of(record)}
    assert samples.keys() == chunks.keys()
    for key, chunk in chunks.items():
        sample = samples[key]
        assert sample["json"]["label"] == chunk.record.label
        assert sample["json"]["frame_indices"] == chunk.frame_indices.tolist()
        assert sample["landmarks"] == chunk.landmarks.tolist()
        assert sample["valid"] == chunk.valid.tolist()
        assert sample["shape"] == [16, 16, 3]
        assert sample["mean"] == pytest.approx(next(chunk.frames([4])).mean())
