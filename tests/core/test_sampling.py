import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mgst_data.core.sampling import CentreWindow, EvenlySpaced, RandomWindow, evenly_spaced


@given(st.integers(0, 200), st.integers(0, 200))
def test_evenly_spaced_positions_are_distinct_ascending_and_at_equal_distances(count, wanted):
    if wanted > count:
        with pytest.raises(ValueError, match="wanted must be in"):
            evenly_spaced(count, wanted)
        return
    positions = evenly_spaced(count, wanted)
    assert len(positions) == wanted
    assert all(0 <= p < count for p in positions)
    steps = {b - a for a, b in itertools.pairwise(positions)}
    assert not steps or (min(steps) >= 1 and max(steps) - min(steps) <= 1)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 4), st.integers(0, 9))
def test_windows_lie_within_the_run_and_keep_their_stride(count, length, stride, seed):
    for choose in (RandomWindow(length, stride), CentreWindow(length, stride)):
        generator = torch.Generator().manual_seed(seed)
        if count < choose.span:
            with pytest.raises(ValueError, match="a window of"):
                choose(count, generator)
            continue
        positions = choose(count, generator)
        assert len(positions) == length
        assert 0 <= positions[0] <= positions[-1] < count
        assert {b - a for a, b in itertools.pairwise(positions)} <= {stride}


def test_a_random_window_reaches_every_start_and_depends_on_the_generator_alone(generator):
    choose = RandomWindow(4, stride=2)
    assert choose.span == 7
    assert {choose(10, generator)[0] for _ in range(200)} == {0, 1, 2, 3}
    first, second = (choose(1000, torch.Generator().manual_seed(7)) for _ in range(2))
    assert first == second


def test_other_samplers_draw_nothing(generator):
    before = generator.get_state()
    assert list(CentreWindow(3)(9, generator)) == [3, 4, 5]
    assert EvenlySpaced(3)(9, generator) == [1, 4, 7]
    assert torch.equal(before, generator.get_state())


@pytest.mark.parametrize(("length", "stride"), [(0, 1), (4, 0)])
def test_length_and_stride_must_be_positive(length, stride):
    with pytest.raises(ValueError, match="at least 1"):
        RandomWindow(length, stride)
