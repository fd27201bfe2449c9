"""The command ``mgst-data inspect``."""

from __future__ import annotations

import json

import click

from ..common.errors import debug_option
from ..common.options import Command, json_option

EPILOG = """\b
Examples:
  mgst-data inspect shards
  mgst-data inspect shards --verify
  mgst-data inspect shards --near-duplicates
  mgst-data inspect shards --parts 16
  mgst-data inspect s3://bucket/shards --json

Exit codes: 0 no problem, 1 damaged or incomplete, 2 no shards found.
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("shards")
@click.option("--verify", is_flag=True, help="Check every file and every sample, and decode every picture.")
@click.option(
    "--near-duplicates",
    is_flag=True,
    help="List videos that are copies of others: encoded again, cut or mirrored. Hashes are kept in the folder.",
)
@click.option(
    "--parts",
    type=click.IntRange(min=1),
    metavar="N",
    help="List which of N parts are missing: those of mgst-data extract --part K/N.",
)
@json_option
@debug_option
@click.pass_context
def inspect(
    ctx: click.Context, /, shards: str, verify: bool, near_duplicates: bool, parts: int | None, as_json: bool
) -> None:
    """Shows the contents of a folder of shards.

    SHARDS is a path or a URL. The output has the counts by data set, split, label and method, and all videos that were
    skipped or kept with a note, with the reason.
    \f

    Args:
        ctx: Context of click.
        shards: Path or URL of the folder.
        verify: Whether to check every file and sample, and decode every picture.
        near_duplicates: Whether to list videos that are copies of others.
        parts: Number of parts of the extraction; None for one run.
        as_json: Whether to print one JSON object.
    """  # noqa: D301 - click shows only the text above the form feed
    from mgst_data.core.errors import printable
    from mgst_data.shards import Part, ShardFolder, verify_shard

    from ..common.progress import Work, display
    from ..common.show import count, line, size
    from . import show
    from .find_copies import find_copies

    folder = ShardFolder.read(shards)
    found = folder.survey()
    complete = frozenset(found.complete)
    problems: list[str] = []
    samples = 0
    work = Work("verifying", unit="shards")
    with display(work, interval=None):
        for number, report in enumerate(folder.reports() if verify else ()):
            work.tell("verifying", done=number, total=len(complete))
            problems += verify_shard(shards, report)
            samples += len(report.samples)
        copies = find_copies(shards, work) if near_duplicates else []
    unfinished = {
        number: [name for name in Part(number, parts or 1).shards(folder.plan) if name not in complete]
        for number in range(1, (parts or 0) + 1)
    }
    missing, kept = len(folder.plan) - len(complete), sum(1 for _ in folder.kept())
    if as_json:
        content = {
            "folder": shards,
            "shards": len(complete),
            "planned": len(folder.plan),
            "bytes": found.bytes,
            "config": folder.config,
            "totals": found.totals.as_dict(),
            "skipped": {video.video: [video.reason, video.message] for video in found.skipped},
            "noted": {video.video: video.notes for video in found.noted},
            **({"problems": problems} if verify else {}),
            **({"missing_parts": [number for number, names in unfinished.items() if names]} if parts else {}),
            **({"near_duplicates": copies} if near_duplicates else {}),
        }
        click.echo(json.dumps(content, indent=1))
    else:
        show.totals(found.totals, "dataset", "split", "label", "method")
        show.noted(found.noted)
        show.skipped(found.skipped)
        if verify:
            show.problems(problems, samples=samples)
        if near_duplicates:
            show.copies(copies)
        line(f"\n{printable(shards)}: {count(len(complete), 'shard')}, {size(found.bytes)}")
        if missing:
            begun = f" ({count(kept, 'video')} of them already extracted)" if kept else ""
            there = f"{missing:,} of {len(folder.plan):,} shards are missing{begun}"
            line(f"{there}; run the same extraction again to continue")
        if parts:
            show.parts(unfinished)
    if problems or missing:
        ctx.exit(1)
