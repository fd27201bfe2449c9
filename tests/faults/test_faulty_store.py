"""A store that fails: an S3 server behind a proxy that answers 500 or 503, drops connections, and cuts bodies."""

import random

import fsspec
import pytest
from faulty_proxy import FAULTS, faulty_proxy
from writing import contents, write

from mgst_data.core import MgstError
from mgst_data.shards import ShardReader, encode_chunk, storage
from mgst_data.shards.store import ShardStore


@pytest.fixture(scope="module")
def proxy(s3):
    server = int(s3["AWS_ENDPOINT_URL"].rpartition(":")[2])
    with faulty_proxy(server) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.address)
        patch.setenv("AWS_MAX_ATTEMPTS", "1")  # the package of the store does not try again, so that mgst must
        patch.setattr(storage, "_PAUSE", 0.01)
        fsspec.filesystem("s3").clear_instance_cache()
        yield proxy
        fsspec.filesystem("s3").clear_instance_cache()


@pytest.fixture(autouse=True)
def _no_fault_yet(proxy):
    proxy.fault = lambda *_: ""
    proxy.seen.clear()
    proxy.failed.clear()


def sometimes(fault):
    draw = random.Random(fault)
    return lambda *_: fault if draw.random() < 1 / 6 else ""


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    out = tmp_path_factory.mktemp("local")
    write(out)
    return contents(out)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_sixth_of_the_requests_may_fail_and_the_shards_are_the_same(proxy, wanted, fault):
    location = f"s3://bucket/half-{fault}"
    proxy.fault = sometimes(fault)
    write(location)
    assert proxy.failed[fault]
    names = ShardStore.at(location).names()
    assert not [name for name in names if name.endswith((".lock", ".part"))]
    proxy.fault = lambda *_: ""
    assert contents(location) == wanted
    assert not ShardStore.at(location).workspace.exists()


def test_a_lock_whose_answer_was_lost_is_the_own_lock(proxy):
    location = "s3://bucket/lost-lock"
    lost = []

    def fault(method, path, number):
        if method == "PUT" and path.endswith("/.lock") and not lost:
            lost.append(number)
            return "lost"
        return ""

    proxy.fault = fault
    write(location)
    assert lost
    assert ".lock" not in ShardStore.at(location).names()


def test_a_store_that_is_gone_ends_the_run_and_the_next_run_continues(proxy, wanted):
    location = "s3://bucket/gone"

    def fault(method, path, number):
        return "503" if method == "PUT" and path.endswith(".tar") else ""

    proxy.fault = fault
    with pytest.raises(MgstError, match="the store does not answer as expected"):
        write(location)
    assert not [name for name in contents(location) if name.endswith(".tar")]
    proxy.fault = lambda *_: ""
    write(location)
    assert contents(location) == wanted


@pytest.mark.parametrize("fault", ["503", "dropped", "short"])
def test_shards_are_read_over_a_network_that_fails(proxy, tmp_path, fault):
    write(tmp_path)
    local = [encode_chunk(chunk) for chunk in ShardReader.open(tmp_path)]
    location = "s3://bucket/read"
    if not contents(location):
        write(location)
    proxy.fault = sometimes(fault)
    reader = ShardReader.open(location)
    assert [encode_chunk(chunk) for chunk in reader] == local
