"""Grouping of embeddings to persons."""

import time

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist

from mgst_data.people import cluster


def faces(generator, persons, each, *, spread=0.15):
    """Embeddings of persons that are about 0.8 apart; two tracks of a person are about ``spread * 1.4`` apart."""
    centre = torch.randn(persons, 128, generator=generator) * 0.57 / 128**0.5
    noise = torch.randn(persons, each, 128, generator=generator) * spread / 128**0.5
    return (centre[:, None] + noise).flatten(0, 1)


def test_tracks_of_a_person_are_grouped_and_persons_are_not(generator):
    label, doubts = cluster(faces(generator, 40, 5))
    assert label.tolist() == [i // 5 for i in range(200)]
    assert doubts == []


def test_the_groups_are_those_of_average_linkage_over_all_tracks(generator):
    embedding = faces(generator, 60, 6, spread=0.42)
    label, _ = cluster(embedding, 0.6)
    whole = fcluster(linkage(embedding.double().numpy(), "average"), 0.6, "distance")
    assert 60 < label.max() + 1 < 360  # the persons overlap: some are divided
    assert len(set(zip(label.tolist(), whole.tolist(), strict=True))) == label.max() + 1 == whole.max()


def test_the_mean_distance_of_two_groups_is_above_the_threshold(generator):
    embedding = faces(generator, 30, 6, spread=0.42)
    label, _ = cluster(embedding, 0.6)
    groups = [embedding[torch.from_numpy(label == i)].double().numpy() for i in range(label.max() + 1)]
    apart = [cdist(a, b).mean() for i, a in enumerate(groups) for b in groups[:i]]
    assert min(apart) > 0.6


def test_the_groups_do_not_depend_on_the_order_of_the_tracks(generator):
    embedding = faces(generator, 30, 6, spread=0.4)
    order = torch.randperm(len(embedding), generator=generator)
    label, shuffled = cluster(embedding, 0.6)[0], cluster(embedding[order], 0.6)[0]
    pairs = set(zip(label[order.numpy()].tolist(), shuffled.tolist(), strict=True))
    assert len(pairs) == label.max() + 1


@pytest.mark.parametrize(("apart", "joined"), [(0.47, True), (0.53, False)])
def test_a_decision_near_the_threshold_is_uncertain(apart, joined):
    embedding = torch.zeros(4, 128)
    embedding[1, 0], embedding[2:, 1] = apart, 5.0
    embedding[3, 0] = 0.1
    label, (doubt,) = cluster(embedding, 0.5, uncertain=0.05)
    assert (doubt.first, doubt.second, doubt.joined) == (0, 1, joined)
    assert doubt.distance == pytest.approx(apart, abs=1e-6)
    assert label.tolist() == ([0, 0, 1, 1] if joined else [0, 1, 2, 2])


def test_no_track_and_one_track():
    assert cluster(torch.zeros(0, 128))[0].tolist() == []
    assert cluster(torch.zeros(1, 128))[0].tolist() == [0]


@pytest.mark.slow
def test_twenty_thousand_tracks_are_grouped_in_a_minute(generator):
    embedding = faces(generator, 4000, 5)
    begin = time.process_time()
    label, _ = cluster(embedding)
    assert np.array_equal(label, np.arange(20000) // 5)
    assert time.process_time() - begin < 60
