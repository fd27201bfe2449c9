"""Metrics equal values counted by hand, depend only on the order of scores, and have correct intervals."""

from __future__ import annotations

import math
import sys
from dataclasses import astuple

import numpy as np
import pytest
import videos
from hypothesis import given, settings
from hypothesis import strategies as st

from mgst_model.evaluate import metrics as module
from mgst_model.evaluate import resampling
from mgst_model.evaluate.metrics import (
    FIGURES,
    Scored,
    auc_difference,
    bootstrap,
    mean_auc,
    metrics,
    pair_accuracy,
)
from mgst_model.evaluate.resampling import group_interval

few_scores = st.lists(st.integers(0, 6), min_size=1, max_size=12)


def scored(real: list[int], fake: list[int]) -> Scored:
    return Scored.of([value / 8 for value in real + fake], [0] * len(real) + [1] * len(fake))


def test_metrics_equal_those_counted_by_hand():
    found = metrics([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    assert found.auc == 0.75  # three of four pairs are in the right order
    assert found.ap == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found.eer == 0.5
    assert found.accuracy == 0.75
    assert (found.real, found.fake) == (2, 2)


def test_a_perfect_detector_makes_no_errors_and_its_opposite_all():
    assert astuple(metrics([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])) == (1, 1, 0, 1, 1, 1, 2, 2)
    worst = metrics([0.8, 0.9, 0.1, 0.2], [0, 0, 1, 1])
    assert (worst.auc, worst.eer, worst.accuracy) == (0, 1, 0)


def test_equal_scores_have_an_auc_of_one_half():
    found = metrics([0.5] * 5, [0, 0, 1, 1, 1])
    assert (found.auc, found.eer) == (0.5, 0.5)
    assert found.ap == pytest.approx(0.6)
    assert found.accuracy == 0.4  # a score at the threshold says real
    assert metrics([0.5] * 5, [0, 0, 1, 1, 1], threshold=0.4).accuracy == 0.6


def test_the_equal_error_rate_is_interpolated_between_points():
    # Points (0, 0), (0, 1/2), (1/3, 1/2), (1/3, 1), ...: the curve meets the diagonal at a third.
    assert metrics([0.9, 0.7, 0.8, 0.2, 0.1], [1, 1, 0, 0, 0]).eer == pytest.approx(1 / 3)
    # One level has half of the fakes and one of four reals: the point is on the line from (0, 1/2) to (1/4, 1).
    assert metrics([0.9, 0.5, 0.5, 0.1, 0.1, 0.1], [1, 1, 0, 0, 0, 0]).eer == pytest.approx(1 / 6)


@settings(deadline=None, max_examples=60)
@given(few_scores, few_scores)
def test_all_metrics_but_accuracy_depend_on_the_order_only(real, fake):
    scores, labels = scored(real, fake)
    found = metrics(scores, labels)
    for bent in (np.exp(3 * scores), scores**3, 100 * scores - 7):
        again = metrics(bent, labels)
        assert (again.auc, again.ap, again.eer) == (found.auc, found.ap, found.eer)


@settings(deadline=None, max_examples=60)
@given(few_scores, few_scores)
def test_metrics_are_symmetric_in_scores_and_labels(real, fake):
    scores, labels = scored(real, fake)
    found, mirrored = metrics(scores, labels), metrics(1 - scores, 1 - labels)
    assert mirrored.auc == pytest.approx(found.auc)
    assert mirrored.eer == pytest.approx(found.eer)
    assert metrics(-scores, labels).auc == pytest.approx(1 - found.auc)
    pairs = [(a > b) + 0.5 * (a == b) for a in fake for b in real]
    assert found.auc == pytest.approx(sum(pairs) / len(pairs))


@settings(deadline=None, max_examples=80)
@given(few_scores, few_scores, st.sampled_from([0.0, 0.3, 0.5, 0.75, 1.0]))
def test_metrics_of_resamples_equal_scikit_learn(real, fake, threshold):
    """Checks every row of a batch of resamples, which has many equal scores."""
    rng = np.random.default_rng(0)
    rows = [(rng.choice(real, len(real)), rng.choice(fake, len(fake))) for _ in range(3)]
    levels = np.unique(np.array(real + fake)) / 8
    counts = [[(side[:, None] / 8 == levels).sum(axis=0) for side in row] for row in rows]
    above = int(np.searchsorted(levels, threshold, side="right"))
    stacked = module._figures(np.stack([row[0] for row in counts]), np.stack([row[1] for row in counts]), above)
    for row, found in zip(rows, stacked.T, strict=True):
        scores, labels = scored(row[0].tolist(), row[1].tolist())
        wanted = metrics(scores, labels, threshold=threshold)
        np.testing.assert_allclose(found, [getattr(wanted, name) for name in FIGURES], atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_intervals_contain_the_metric_and_shrink_with_more_videos(seed):
    widths = []
    for count in (40, 640):
        scores, labels = videos.draw(count, count, seed=seed)
        point, around = metrics(scores, labels), bootstrap(scores, labels, resamples=300)
        for name in FIGURES:
            low, high = getattr(around, name)
            assert 0 <= low <= getattr(point, name) <= high <= 1, name
        widths.append([high - low for low, high in astuple(around)[:4]])
    for narrow, wide in zip(widths[1], widths[0], strict=True):
        assert 0.1 < narrow / wide < 0.5  # expected: 1/4, the square root of the ratio of the numbers of videos


def test_true_positive_rates_allow_a_share_of_the_real_videos():
    real, fake = np.arange(100) / 100, np.array([0.999, 0.985, 0.955, 0.945, 0.0])
    found = metrics(np.concatenate((real, fake)), [0] * 100 + [1] * 5)
    # One real video may be above the threshold for 1 %, five for 5 %.
    assert (found.tpr_at_1, found.tpr_at_5) == (2 / 5, 4 / 5)
    few = metrics([0.1, 0.8, 0.7, 0.9], [0, 0, 1, 1])
    assert (few.tpr_at_1, few.tpr_at_5) == (0.5, 0.5)
    assert metrics([0.9, 0.1], [0, 1]).tpr_at_5 == 0


def test_auc_intervals_have_the_theoretical_width():
    # Hanley and McNeil (1982): variance of an AUC A with n samples of each class.
    scores, labels = videos.draw(200, 200)
    a, n = metrics(scores, labels).auc, 200
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    deviation = math.sqrt((a * (1 - a) + (n - 1) * (q1 + q2 - 2 * a * a)) / n**2)
    low, high = bootstrap(scores, labels, resamples=1000).auc
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.15)


def test_intervals_depend_on_the_seed_and_grow_with_confidence():
    scores, labels = videos.draw(30, 50)
    first, again, other = (bootstrap(scores, labels, resamples=200, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    wide = bootstrap(scores, labels, resamples=200, seed=1, confidence=0.99)
    assert wide.auc.low < first.auc.low < first.auc.high < wide.auc.high


def test_intervals_hardly_depend_on_the_batch_of_resamples(monkeypatch):
    scores, labels = videos.draw(20, 30)
    at_once = bootstrap(scores, labels, resamples=50)
    monkeypatch.setattr(resampling, "_BLOCK", 7 * 50)  # seven resamples at once
    low, high = bootstrap(scores, labels, resamples=50).auc
    assert at_once.auc.low == pytest.approx(low, abs=0.1)
    assert at_once.auc.high == pytest.approx(high, abs=0.1)


def test_a_perfect_detector_is_perfect_in_every_resample():
    found = bootstrap([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], resamples=50)
    assert astuple(found) == ((1, 1), (1, 1), (0, 0), (1, 1), (1, 1), (1, 1))


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_one_class_has_an_accuracy_only(labels):
    found = metrics([0.2, 0.3, 0.9], labels)
    assert all(math.isnan(figure) for figure in (found.auc, found.ap, found.eer))
    assert found.accuracy == pytest.approx(2 / 3 if labels[0] == 0 else 1 / 3)
    assert all(math.isnan(end) for pair in astuple(bootstrap([0.2, 0.3, 0.9], labels)) for end in pair)


def test_no_scores_have_no_metrics():
    found = metrics([], [])
    assert math.isnan(found.accuracy)
    assert (found.real, found.fake) == (0, 0)


def test_one_video_of_a_class_has_metrics_but_no_interval():
    assert metrics([0.2, 0.3, 0.9], [0, 0, 1]).auc == 1
    assert math.isnan(bootstrap([0.2, 0.3, 0.9], [0, 0, 1]).auc.low)


@pytest.mark.parametrize(
    ("scores", "labels", "what"),
    [([0.1], [0, 1], "match"), ([math.nan, 0.2], [0, 1], "finite"), ([0.1, 0.2], [0, 2], "labels")],
)
def test_invalid_scores_are_rejected(scores, labels, what):
    with pytest.raises(ValueError, match=what):
        metrics(scores, labels)


def test_pairs_in_order_are_counted_and_ties_by_half():
    assert pair_accuracy([0.1, 0.5, 0.9, 0.2], [0.2, 0.5, 0.3, 0.9]) == (1 + 0.5 + 0 + 1) / 4
    assert math.isnan(pair_accuracy([], []))
    with pytest.raises(ValueError, match="match"):
        pair_accuracy([0.1], [0.1, 0.2])


@pytest.mark.parametrize(("name", "call"), [("sklearn.metrics", metrics), ("scipy.stats", bootstrap)])
def test_a_missing_library_is_reported_with_its_extra(monkeypatch, name, call):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"{name.partition('.')[0]}.*mgst\[train\]"):
        call([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1])


@settings(deadline=None, max_examples=60)
@given(few_scores, few_scores, st.randoms(use_true_random=False))
def test_a_difference_is_that_of_the_mean_aucs(real, fake, random):
    labels = [0] * len(real) + [1] * len(fake)

    def shuffled() -> Scored:
        values = [*real, *fake]
        random.shuffle(values)
        return Scored.of(values, labels)

    ours, theirs = [shuffled() for _ in range(3)], [shuffled() for _ in range(2)]
    means = [sum(metrics(*each).auc for each in some) / len(some) for some in (ours, theirs)]
    assert auc_difference(ours, theirs, resamples=0).value == pytest.approx(means[0] - means[1])


def test_a_detector_does_not_differ_from_itself_in_any_resample():
    some = [Scored.of(*videos.draw(20, 30, seed=seed)) for seed in range(2)]
    assert auc_difference(some, some, resamples=50) == (0, 0, 0)


def test_difference_intervals_have_the_theoretical_width():
    # DeLong et al. (1988): variance of the contributions of each fake and each real sample to the difference.
    truth, labels = videos.draw(150, 250)
    ours, theirs = (
        Scored.of(np.array(truth) + spread * np.array(videos.draw(400, 0, seed=seed)[0]), labels)
        for spread, seed in ((0.3, 1), (0.8, 2))
    )
    wins = [(each.split()[1][:, None] > each.split()[0]).astype(float) for each in (ours, theirs)]
    added = wins[0] - wins[1]
    deviation = math.sqrt(added.mean(axis=1).var(ddof=1) / 250 + added.mean(axis=0).var(ddof=1) / 150)
    value, low, high = auc_difference([ours], [theirs])
    assert value == pytest.approx(added.mean())
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.12)
    # Samples that are hard for both detectors do not widen the interval.
    alone = [bootstrap(*each).auc for each in (ours, theirs)]
    assert high - low < 0.8 * math.hypot(*(each.high - each.low for each in alone))


def test_a_difference_needs_the_same_samples():
    ours, other = Scored.of([0.1, 0.9], [0, 1]), Scored.of([0.1, 0.9], [1, 0])
    with pytest.raises(ValueError, match="different samples cannot be compared: their labels differ"):
        auc_difference([ours], [other])
    with pytest.raises(ValueError, match="no scores"):
        auc_difference([ours], [])
    assert auc_difference([ours], [ours])[0] == 0
    assert math.isnan(auc_difference([ours], [ours]).low)
    assert math.isnan(auc_difference([Scored.of([0.1], [0])], [Scored.of([0.2], [0])]).value)


@pytest.mark.parametrize("shape", [(), (2, 2)])
def test_scores_must_be_a_list(shape):
    with pytest.raises(ValueError, match="match"):
        metrics(np.full(shape, 0.5), np.ones(shape, dtype=int))


def repeated(count: int, copies: int) -> tuple[list[float], list[int], list[int]]:
    """Every video several times, as if one video were several."""
    scores, labels = videos.draw(count, count)
    return scores * copies, labels * copies, list(range(2 * count)) * copies


def test_copies_in_one_group_do_not_narrow_an_interval():
    scores, labels, groups = repeated(25, 4)
    alone = bootstrap(scores[:50], labels[:50], resamples=400)
    together = bootstrap(scores, labels, groups=groups, resamples=400)
    naive = bootstrap(scores, labels, resamples=400)
    for name in ("auc", "eer", "accuracy"):
        wide, same, narrow = (each[1] - each[0] for each in (getattr(x, name) for x in (alone, together, naive)))
        assert same == pytest.approx(wide, rel=0.15), name
        assert narrow < 0.7 * same, name
    one = Scored.of(scores[:50], labels[:50])
    many = Scored.of(scores, labels)
    for figure in (
        mean_auc,
        lambda some, **how: auc_difference(some, [Scored.of(-x.scores, x.labels) for x in some], **how),
    ):
        assert figure([many], groups=groups).low == pytest.approx(figure([one]).low, abs=0.03)


def test_groups_of_one_sample_are_no_groups():
    scores, labels = videos.draw(20, 30)
    assert bootstrap(scores, labels, groups=range(50), resamples=50) == bootstrap(scores, labels, resamples=50)
    assert bootstrap(scores, labels, groups=[f"p{i}" for i in range(50)], resamples=50) == bootstrap(
        scores, labels, resamples=50
    )


def test_a_pair_of_one_person_stays_together():
    # Every fake scores just above its own real video: the spread of the people is in both.
    base = np.array(videos.draw(40, 0, apart=0)[0]) / 2
    scores, labels = [*base, *(base + 0.2)], [0] * 40 + [1] * 40
    loose, paired = (bootstrap(scores, labels, groups=groups).auc for groups in (None, [*range(40)] * 2))
    assert paired.high - paired.low < 0.8 * (loose.high - loose.low)


def test_a_mean_auc_is_the_mean_of_the_aucs_of_all_trainings():
    some = [Scored.of(*videos.draw(30, 20, seed=seed)) for seed in range(3)]
    found = mean_auc(some)
    assert found.value == pytest.approx(sum(metrics(*each).auc for each in some) / 3)
    assert found.low < found.value < found.high
    single = mean_auc(some[:1])
    assert (single.low, single.high) == pytest.approx(tuple(bootstrap(*some[0]).auc), abs=0.03)


def test_classes_in_one_group_have_no_interval():
    scores, labels = [0.1, 0.2, 0.3, 0.8, 0.9], [0, 0, 0, 1, 1]
    groups = ["a", "b", "c", "d", "d"]
    assert math.isnan(bootstrap(scores, labels, groups=groups).auc.low)
    assert mean_auc([Scored.of(scores, labels)], groups=groups)[0] == 1
    assert math.isnan(mean_auc([Scored.of(scores, labels)], groups=groups).low)
    # One group has both classes, so it is in every resample.
    assert bootstrap(scores, labels, groups=["a", "b", "c", "a", "d"], resamples=20).auc == (1, 1)


def test_there_must_be_one_group_per_sample():
    with pytest.raises(ValueError, match="one group per sample, got 2 groups for 3 samples"):
        bootstrap([0.1, 0.2, 0.3], [0, 1, 1], groups=["a", "b"])


def test_any_figure_has_an_interval_over_groups():
    values = np.array(videos.draw(60, 0)[0])
    groups = np.arange(60) // 2
    found = group_interval(lambda rows: float(values[rows].mean()), groups.tolist())
    means = values.reshape(30, 2).mean(axis=1)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * means.std() / math.sqrt(30), rel=0.15)
    assert group_interval(lambda rows: 1.0, ["a", "a"])[0] == 1
    assert math.isnan(group_interval(lambda rows: 1.0, ["a", "a"]).low)
    # A figure that some resamples do not have.
    assert group_interval(lambda rows: math.nan if 0 not in rows else 0.5, [*range(5)]) == (0.5, 0.5, 0.5)
