"""Tables of the page about generalisation and of the model card, from the results."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .names import ALL_OTHERS, ALL_SWAPS, GROUPS, PROPERTIES

MISSING = "Not measured yet."
Found = Mapping[str, Any]


def test_table(result: Found | None) -> str:
    """Writes the published rows: pairs and false positives, then AUC by kind of fake.

    Args:
        result: Content of ``generalise_test.json``; None if it is not there.
    """
    if result is None:
        return MISSING
    found = result["figures"]
    rows = found["rows"]
    head = ("row", ALL_SWAPS, ALL_OTHERS, "fake above paired real clip", "AUC of pairs", "false-positive rate")
    overview = []
    for name, row in rows.items():
        swaps = row["kinds"][ALL_SWAPS]
        cells = [_auc(row["kinds"][ALL_SWAPS]["auc"]), _auc(row["kinds"][ALL_OTHERS]["auc"])]
        cells += [_share(swaps["pairs"]), _auc(swaps["auc_of_pairs"]), _share(row["false_positives"]["rate"])]
        overview.append((name, *cells))
    some = next(iter(rows.values()))["kinds"]
    kinds = [kind for kind in GROUPS if kind in some and kind not in (ALL_SWAPS, ALL_OTHERS)]
    titles = [f"{kind} ({some[kind]['fakes']})" for kind in kinds]
    by_kind = [(name, *(_auc(row["kinds"][kind]["auc"]) for kind in kinds)) for name, row in rows.items()]
    notes = [f"- {name}: {row['note']} {_trained(row)}" for name, row in rows.items()]
    counts = f"{some[ALL_SWAPS]['fakes']} swaps and {some[ALL_OTHERS]['fakes']} other fakes"
    reals = f"{found['reals']} real clips of {found['real_people']} people"
    return "\n".join(
        [
            table(head, overview),
            "",
            f"The split test has {counts}, and {reals}. {_seeds(found)} Fakes that have a paired real clip: "
            f"{some[ALL_SWAPS]['paired']} swaps. The threshold of the false-positive rate is the one with 10 % on the "
            "real clips of val.",
            "",
            table(("row", *titles), by_kind),
            "",
            *notes,
            "",
            _made(result, "--test"),
        ]
    )


def val_table(result: Found | None) -> str:
    """Writes the rows that settings were chosen with.

    Args:
        result: Content of ``generalise_val.json``; None if it is not there.
    """
    if result is None:
        return MISSING
    found = result["figures"]
    head = ("row", "changes", ALL_SWAPS, "difference", ALL_OTHERS, "difference", "fake above paired real clip")
    lines = []
    for name, row in found["rows"].items():
        cells = []
        for kind in (ALL_SWAPS, ALL_OTHERS):
            change = row["differences"][kind] if "minus" in row else None
            cells += [_auc(row["kinds"][kind]["auc"]), _change(change)]
        against = f" (against {row['minus']})" if "minus" in row else ""
        lines.append((name, f"{row['note']}{against}", *cells, _share(row["kinds"][ALL_SWAPS]["pairs"])))
    some = next(iter(found["rows"].values()))["kinds"]
    counts = f"{some[ALL_SWAPS]['fakes']} swaps, {some[ALL_OTHERS]['fakes']} other fakes"
    reals = f"{found['reals']} real clips of {found['real_people']} people"
    text = f"The split val: {counts}, {reals}. {_seeds(found)} Differences are paired."
    return "\n".join([table(head, lines), "", text, "", _made(result, "")])


def has_curve(result: Found | None) -> bool:
    """Returns whether a result has at least two points of the learning curve."""
    return result is not None and sum(row["curve"] for row in result["figures"]["rows"].values()) > 1


def picture(text: str, file: Path, page: Path) -> str:
    """Writes a plot below a table.

    Args:
        text: What it shows.
        file: The plot.
        page: The page; the path of the plot is relative to it.
    """
    return f"\n\n![{text}]({os.path.relpath(file, page.parent)})"


def curve(result: Found | None, plot: Path, page: Path) -> str:
    """Writes the learning curve.

    Args:
        result: Result with rows of the learning curve; None if it is not there.
        plot: Its plot.
        page: The page; the path of the plot is relative to it.
    """
    if result is None:
        return MISSING
    rows = [row for row in result["figures"]["rows"].values() if row["curve"]]
    points = sorted(rows, key=lambda row: row["people"])
    lines = []
    for row in points:
        counts = (f"{row[name]:,.0f}" for name in ("people", "clips", "stills", "pairs"))
        lines.append((*counts, *(_auc(row["kinds"][kind]["auc"]) for kind in (ALL_SWAPS, ALL_OTHERS))))
    head = ("people", "clips", "stills", "real-fake pairs seen", ALL_SWAPS, ALL_OTHERS)
    shown = picture("AUC over the number of people in training", plot, page)
    text = f"Scored on {result['figures']['split']}. {_seeds(result['figures'])}"
    return "\n".join([table(head, lines), "", text]) + shown


def shortcuts(result: Found | None) -> str:
    """Writes the correlation of the scores of real clips with what should not matter.

    Args:
        result: Result of the experiment; None if it is not there.
    """
    if result is None:
        return MISSING
    rows = result["figures"]["rows"]
    lines = [(name, *(_change(row["shortcuts"][key]) for key in PROPERTIES)) for name, row in rows.items()]
    text = (
        f"Spearman's correlation over the real clips of {result['figures']['split']}, with 95 % intervals over people."
    )
    return "\n".join([table(("row", *PROPERTIES), lines), "", text, "", *_properties()])


def card(result: Found | None, plot: Path, page: Path) -> dict[str, str]:
    """Writes the parts of the model card.

    Args:
        result: Content of ``weights.json``; None if it is not there.
        plot: Plot of the calibration.
        page: The card; the path of the plot is relative to it.

    Returns:
        Text by name of the part: status, training, kinds, false-positives, calibration, shortcuts.
    """
    names = ("status", "training", "kinds", "false-positives", "calibration", "shortcuts")
    if result is None:
        return dict.fromkeys(names, MISSING)
    found = result["figures"]
    parts = (
        _status(found),
        _training(found),
        _kinds(found),
        _false_positives(found),
        _calibration(found) + picture("Share of real videos above each score", plot, page),
        _shortcuts(found),
    )
    return dict(zip(names, parts, strict=True))


def summary(result: Found | None) -> str:
    """Writes in one paragraph what the weights of the package reach.

    Args:
        result: Content of ``weights.json``; None if it is not there.
    """
    if result is None:
        return MISSING
    found = result["figures"]
    kinds, wrong = found["kinds"], found["false_positives"]
    parts = [
        f"AUC on face swaps {_auc(kinds[ALL_SWAPS]['auc'])}",
        f"on all other fakes {_auc(kinds[ALL_OTHERS]['auc'])}",
        *(f"on {kind}s {_auc(kinds[kind]['auc'])}" for kind in ("talking head", "generator") if kind in kinds),
    ]
    rates = [f"{_share(part['rate'])} of {part['videos']:,} real {name}" for name, part in wrong.items()]
    state = "experimental" if found["experimental"] else "not experimental"
    return (
        f"The weights of the package are {state}: {', '.join(parts)} (95 % intervals over people in brackets; 0.5 is "
        f"chance). They call {' and '.join(rates)} fake."
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Writes a Markdown table; all columns but the first are aligned to the right.

    Args:
        head: Titles of the columns.
        rows: Cells of each row.
    """
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], f"|---|{'--:|' * (len(head) - 1)}", *lines[1:]])


def _status(found: Found) -> str:
    value, low, high = found["kinds"][ALL_SWAPS]["auc"]
    auc = f"the AUC on face swaps of test is {value:.2f}, and its 95 % interval is {low:.2f} to {high:.2f}"
    if found["experimental"]:
        needed = f"They are experimental until the lower bound is above {found['needed']:.2f}."
        return f"These weights are **experimental**: {auc}. {needed}"
    return f"These weights are not experimental: {auc}."


def _training(found: Found) -> str:
    of, weights = found["trained_on"], found["weights"]
    fakes = "no real deepfakes" if not of["fakes"] else f"{of['fakes']:,} of them fake"
    lines = [(name or "none named", f"{count:,}") for name, count in of["licences"].items()]
    network = f"{weights['network']}, {weights['parameters'] / 1e6:.1f} million parameters"
    file = f"{weights['bytes'] / 1e6:.1f} MB (SHA-256 `{weights['sha256'][:16]}`)"
    data = f"{of['clips']:,} clips and {of['stills']:,} still pictures of {of['people']:,} people"
    sources = f"from {of['sources']:,} public sources, with {fakes}"
    return "\n".join(
        [
            f"Network: {network}, input {weights['size']} pixels, {file}.",
            "",
            f"Trained on {data} {sources}. People of the splits val and test were left out.",
            "",
            table(("licence of the source, as it was noted when the files were collected", "clips and stills"), lines),
        ]
    )


def _kinds(found: Found) -> str:
    head = ("kind of fake", "fakes", "people", "AUC", "fake above paired real clip")
    lines = [
        (kind, str(row["fakes"]), str(row["people"]), _auc(row["auc"]), _share(row["pairs"]))
        for kind, row in found["kinds"].items()
    ]
    text = f"Against {found['reals']} real clips of {found['real_people']} people. 95 % intervals over people."
    return "\n".join([table(head, lines), "", text])


def _false_positives(found: Found) -> str:
    parts = list(found["false_positives"])
    threshold = found["threshold"]
    lines = [("**all**", *(_rate(found["false_positives"].get(part)) for part in parts))]
    for name, rows in found["by"].items():
        lines += [(f"{name}: {row['name']}", *(_rate(row.get(part)) for part in parts)) for row in rows]
    clips = f"{threshold['clips']} real clips of val ({threshold['people']} people)"
    share = f"{100 * threshold['wanted']:.0f} %"
    text = (
        f"The threshold {threshold['score']:.2f} calls at most {share} of the {clips} fake. A "
        "rate is followed by its 95 % interval over people, and by the number of videos. Skin brightness is L* "
        "(0 black, 100 white). Face size is in pixels of the video."
    )
    return "\n".join([table(("real people", *parts), lines), "", text])


def _calibration(found: Found) -> str:
    parts = list(found["false_positives"])
    head = ("real clips of val above the score", "score", *(f"{part} above it" for part in parts))
    lines = [
        (f"{100 * row['wanted']:g} %", f"{row['score']:.2f}", *(_rate(row.get(part)) for part in parts))
        for row in found["calibration"]
    ]
    return table(head, lines)


def _shortcuts(found: Found) -> str:
    lines = [(name, *(_change(part[name]) for part in found["shortcuts"].values())) for name in PROPERTIES]
    return "\n".join([table(("property", *found["shortcuts"]), lines), "", *_properties()])


def _properties() -> list[str]:
    return [f"- {name}: {text}" for name, text in PROPERTIES.items()]


def _auc(estimate: Sequence[float | None] | None) -> str:
    if estimate is None or estimate[0] is None:
        return ""
    value, low, high = estimate
    return f"{value:.2f}" if low is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _change(estimate: Sequence[float | None] | None) -> str:
    if estimate is None or estimate[0] is None:
        return ""
    value, low, high = estimate
    return f"{value:+.2f}" if low is None else f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _share(estimate: Sequence[float | None] | None) -> str:
    if estimate is None or estimate[0] is None:
        return ""
    value, low, high = estimate
    # Resamples of all or nothing do not vary: their interval would look like certainty.
    if low is None or high is None or value in (0, 1):
        return f"{100 * value:.0f} %"
    return f"{100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def _rate(found: Found | None) -> str:
    return "" if found is None else f"{_share(found['rate'])} of {found['videos']:,}"


def _trained(row: Found) -> str:
    counts = f"{row['clips']:,.0f} clips and {row['stills']:,.0f} stills of {row['people']:,.0f} people"
    return f"{counts}; {row['pairs']:,.0f} real-fake pairs; {row['minutes']:,.0f} minutes."


def _seeds(found: Found) -> str:
    return f"AUC: mean of seeds {', '.join(map(str, found['seeds']))}, with 95 % intervals over people."


def _made(result: Found, flag: str) -> str:
    rows = " ".join(result["figures"]["rows"])
    device = result["device"]["gpu"] or result["device"]["cpu"]
    name = result["benchmark"].rpartition("_")[0]
    seeds = " ".join(map(str, result["figures"]["seeds"]))
    words = ["python benchmarks/experiment_generalise.py --out runs/generalise", flag, f"--rows {rows}"]
    words += [f"--seeds {seeds}"] if seeds != "0 1 2" else []
    words += [f"--name {name}"] if name != "generalise" else []
    return f"Command: `{' '.join(filter(None, words))}`; {device}, commit `{result['commit']}`."
