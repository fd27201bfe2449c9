"""``mgst-eval --executor``: the scores of workers are those of a serial run."""

import pytest
import test_evaluate
from mgst_cli.evaluate import workers
from test_evaluate import FAST, mgst_eval

from mgst_data.extract.executors import Loss

shards, make_weights, weights = test_evaluate.shards, test_evaluate.make_weights, test_evaluate.weights
ROBUST = ("--robustness", "--kind", "contrast", "--severity", "5", "--no-report")


@pytest.fixture(autouse=True)
def _no_network_of_another_test():
    workers._loaded.cache_clear()
    yield
    workers._loaded.cache_clear()


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_workers_give_the_scores_of_a_serial_run_and_keep_them(shards, weights, backwards, tmp_path):
    command = (shards, "--weights", weights, *FAST, *ROBUST)
    serial = mgst_eval(*command, "--out", tmp_path / "serial")
    spread = mgst_eval(*command, "--out", tmp_path / "spread", "--executor", "backwards")
    assert (spread.exit_code, spread.stderr) == (serial.exit_code, serial.stderr) == (0, "")
    assert spread.stdout.replace("/spread", "/serial") == serial.stdout
    assert files(tmp_path / "spread") == files(tmp_path / "serial")
    again = mgst_eval(*command, "--out", tmp_path / "spread", "--executor", "backwards")
    assert again.stderr.startswith("reusing 2 of 2 sets of scores")


def test_a_set_of_scores_that_ends_its_workers_ends_the_command_and_the_others_are_kept(
    shards, weights, backwards, tmp_path, monkeypatch
):
    monkeypatch.setattr(backwards, "lost", {"000000": Loss("worker_died", "the worker process died, 2 times")})
    command = (shards, "--weights", weights, *FAST, *ROBUST, "--out", tmp_path)
    result = mgst_eval(*command, "--executor", "backwards")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: net: shards: the worker process died, 2 times (complete scores are kept")
    assert mgst_eval(*command).stderr.startswith("reusing 1 of 2 sets of scores")


def test_other_weights_on_the_machine_of_a_worker_are_an_error(shards, make_weights, backwards, tmp_path, monkeypatch):
    weights, other = make_weights("net"), make_weights("other/net", seed=1)
    monkeypatch.setattr(workers.Given, "load", lambda _: workers.load_detectors([other])[0])
    result = mgst_eval(shards, "--weights", weights, *FAST, "--executor", "backwards", "--out", tmp_path)
    assert result.exit_code == 2
    assert "has other weights than the one of the command (copy the same weights to all machines)" in result.stderr
