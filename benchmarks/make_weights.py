"""Trains the weights that come with the toolkit, and writes them to mgst_model/pretrained with their card.

    make weights            # the same as: python benchmarks/make_weights.py --out runs/weights

The training is a row of ``generalise/rows.toml``, on real faces only. The weights are stored in half precision. Their
card knows the scores of real people of the split val, and calls the network experimental if the figures on the split
test ask for it. ``results/weights.json`` and ``benchmarks/pages.py`` make the model card. The command resumes a stopped
training. The folder of clips (``--clips`` or MGST_CLIPS) has a table ``labels.csv``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _common import RESULTS, write_result
from extraction.clips import parse_with_clips
from generalise.kit import Kit
from generalise.names import ALL_SWAPS, CLIPS, STILLS
from generalise.plots import calibration_png
from generalise.rows import ROWS, chosen_rows, read_rows
from generalise.runs import Trained, train_row
from generalise.weights import describe

from mgst_data.core import MgstError
from mgst_data.core.devices import choose_device
from mgst_model.evaluate.reals import calibrate, score_reals
from mgst_model.networks.checkpoint import CARD, PACKAGED, WEIGHTS, load_network, save_network
from mgst_model.networks.folding import fold_batch_norms
from mgst_model.networks.trained_videos import VIDEOS

# The row that is shipped: the best one of the split val.
ROW = "varied"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for shards, training and scores")
    parser.add_argument("--shards", type=Path, help="finished shards; default: made in OUT/shards")
    parser.add_argument("--row", default=ROW, help="row of generalise/rows.toml")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="device of the network")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    parser.add_argument("--weights", type=Path, default=PACKAGED, help="path of the weights to write, without suffix")
    arguments = parse_with_clips(parser)
    try:
        found = make(arguments)
    except MgstError as error:
        sys.exit(str(error))
    print(write_result("weights", found, folder=arguments.results))
    (arguments.results / "weights.png").write_bytes(calibration_png(found))


def make(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains, measures and writes the weights. Returns the figures of their model card."""
    out = arguments.out.resolve()  # absolute: a training is resumed only with the same path of the shards
    shards = arguments.shards
    kit = Kit.open(arguments.clips, shards.resolve()) if shards else Kit.make(arguments.clips, out / "shards")
    rows = read_rows()
    row = chosen_rows(rows, [arguments.row], ROWS)[0]
    trained = train_row(kit, rows, row, arguments.seed, out, device=arguments.device)
    # Measured as they are shipped: in half precision.
    release = out / "release" / arguments.weights.name
    release.parent.mkdir(parents=True, exist_ok=True)
    calibration = _calibration(kit, _stored(release, trained, {}), device=arguments.device)
    shutil.copyfile(f"{trained.weights}{VIDEOS}", f"{release}{VIDEOS}")
    info = {"trained_on": _trained_on(trained), "calibration": calibration}
    found = describe(kit, _stored(release, trained, info), out / "scores", device=arguments.device)
    if found["experimental"]:
        auc = found["kinds"][ALL_SWAPS]["auc"]
        info["experimental"] = (
            f"AUC {auc[0]:.2f} [{auc[1]:.2f}, {auc[2]:.2f}] on face swaps by tools and of people that it has not seen"
        )
        _stored(release, trained, info)
    arguments.weights.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (WEIGHTS, CARD):  # not the list of training videos, which has the names of files
        shutil.copyfile(f"{release}{suffix}", f"{arguments.weights}{suffix}")
    return found


def _stored(path: Path, trained: Trained, info: Mapping[str, Any]) -> Path:
    """Writes trained weights in half precision with facts for their card. Returns their path."""
    loaded = load_network(trained.weights)
    return save_network(
        path,
        loaded.network.half(),
        loaded.config,
        frames=loaded.frames,
        size=loaded.size,
        face_margin=loaded.face_margin,
        info=info,
    )


def _trained_on(trained: Trained) -> dict[str, Any]:
    facts = trained.facts
    return {"real_videos": {name: facts[name] for name in (CLIPS, STILLS)}, "people": facts["people"]}


def _calibration(kit: Kit, weights: Path, *, device: str) -> dict[str, Any]:
    """Returns the calibration with real clips and stills of the split val, in the form of a card."""
    place = choose_device(device)
    loaded = load_network(weights, device=place)
    fold_batch_norms(loaded.network)
    folders = [str(kit.shards / name) for name in (CLIPS, STILLS)]
    found = calibrate(score_reals(loaded, folders, split="val", device=place))
    return {kind: one.as_dict() for kind, one in found.items()}


if __name__ == "__main__":
    main()
