"""What every test shares: shape checking, the real clips, a pinned global random state."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from jaxtyping import install_import_hook

# Shapes and types of every annotated function of the library are checked while the tests run.
install_import_hook(["mgst_data", "mgst_model"], "typechecks.check")

import pytest
import torch

CLIPS = Path(os.environ.get("MGST_CLIPS") or Path(__file__).parents[2] / "shared" / "data")


def pytest_configure() -> None:
    """A shell that starts the tests in the background has them ignore the interrupts that some of them wait for."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real clips; tests that need it skip, saying so, where it is missing."""
    if not (CLIPS / "MANIFEST.tsv").exists():
        pytest.skip(f"real clips not found at {CLIPS}; set MGST_CLIPS to their folder")
    return CLIPS


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def _global_random_state_is_untouched() -> Iterator[None]:
    """The library draws from generators handed in; a moved global state is a defect."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state()), "the global random state of torch was moved"


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """CPU always; CUDA under the marker ``gpu``."""
    return _cuda() if request.param == "cuda" else torch.device("cpu")


@pytest.fixture
def cuda() -> torch.device:
    """For what has no meaning on a CPU; such a test has the marker ``gpu``."""
    return _cuda()


def _cuda() -> torch.device:
    """Skips where there is no CUDA device; MGST_REQUIRE_GPU=1 turns the skip into a failure."""
    if not torch.cuda.is_available():
        if os.environ.get("MGST_REQUIRE_GPU") == "1":
            pytest.fail("MGST_REQUIRE_GPU=1, but there is no CUDA device")
        pytest.skip("no CUDA device")
    return torch.device("cuda")
