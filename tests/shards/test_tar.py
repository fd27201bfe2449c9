import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgst_data.core import ShardError
from mgst_data.shards import tar

names = st.text("abc-_.0123456789", min_size=1, max_size=200)
members = st.lists(st.tuples(names, st.binary(max_size=2000)), max_size=6)


@given(members)
def test_members_are_unchanged_and_any_tar_tool_reads_them(content):
    data = b"".join(tar.pack(name, body) for name, body in content)
    assert [(name, bytes(body)) for name, body in tar.unpack(memoryview(data))] == content
    with tarfile.open(fileobj=io.BytesIO(data + tar.END), mode="r:") as archive:
        assert [(m.name, archive.extractfile(m).read()) for m in archive] == content
        assert {(m.mtime, m.uid, m.gid, m.uname) for m in archive} <= {(0, 0, 0, "")}


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda data: data[:700], "truncated"),
        (lambda data: data[:200], "damaged tar header"),
        (lambda data: data[:257] + b"mustar" + data[263:], "no tar header"),
        (lambda data: data[:124] + b"notoctal" + data[132:], "damaged tar header"),
        (lambda data: b"\xff" + data[1:], "damaged tar header"),
    ],
)
def test_damage_is_an_error(damage, complaint):
    data = tar.pack("a.json", bytes(range(256)) * 4)
    with pytest.raises(ShardError, match=complaint):
        list(tar.unpack(memoryview(damage(data))))
