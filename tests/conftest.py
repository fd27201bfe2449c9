"""Fixtures of all tests: shape checks, the real clips, and the check of the global random state."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from jaxtyping import install_import_hook

# The tests check shapes and types of every annotated function of the library at run time.
install_import_hook(["mgst_data", "mgst_model"], "typechecks.check")

import pytest
import torch
from shards.object_store import s3_server

CLIPS = Path(os.environ.get("MGST_CLIPS") or Path(__file__).parents[2] / "shared" / "data")


def pytest_configure() -> None:
    """Enables SIGINT, which some tests need. A shell that starts the tests in the background disables it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests come first, so that parallel processes end at about the same time."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real clips. Tests that need it are skipped if it does not exist."""
    if not (CLIPS / "MANIFEST.tsv").exists():
        pytest.skip(f"real clips not found at {CLIPS}; set MGST_CLIPS to their folder")
    return CLIPS


@pytest.fixture(autouse=True, scope="session")
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the tests out of the cache of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MGST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """A server with the bucket "bucket", which fsspec finds; yields the environment variables that lead to it."""
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("bucket")
        yield environment
        fsspec.filesystem("s3").clear_instance_cache()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def _global_random_state_is_untouched() -> Iterator[None]:
    """Fails if a test changes the global random state: the library uses only generators that are passed in."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state()), "the global random state of torch has changed"


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and CUDA with the marker ``gpu``."""
    return _cuda() if request.param == "cuda" else torch.device("cpu")


@pytest.fixture
def cuda() -> torch.device:
    """CUDA only, for tests that need a GPU; such a test has the marker ``gpu``."""
    return _cuda()


def _cuda() -> torch.device:
    """Returns the CUDA device. Without one the test is skipped; with MGST_REQUIRE_GPU=1 it fails."""
    if not torch.cuda.is_available():
        if os.environ.get("MGST_REQUIRE_GPU") == "1":
            pytest.fail("MGST_REQUIRE_GPU=1, but there is no CUDA device")
        pytest.skip("no CUDA device")
    return torch.device("cuda")
