"""The command ``mgst-data people``."""

from __future__ import annotations

import click

from ..common.errors import INTERRUPTED, debug_option
from ..common.options import Command, json_option, option, options

EPILOG = """\b
Examples:
  mgst-data people shards
  mgst-data people shards_a shards_b --near-duplicates
  mgst-data people shards --split-by people --val 0.1 --test 0.2

To continue an interrupted run, run the same command again. Embeddings of
finished shards are kept.

Exit codes: 0 no person is in two splits; 1 a person or a near-duplicate is in
two splits, or failed; 2 wrong option or input; 130 interrupted.
"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("shards", nargs=-1, required=True)
@options(
    "Persons",
    option(
        "--threshold",
        type=click.FloatRange(min=0, min_open=True),
        metavar="D",
        help="Largest mean distance between tracks of one person. [default: 0.48]",
    ),
    option(
        "--uncertain",
        type=click.FloatRange(min=0),
        metavar="D",
        help="List decisions that are closer than this to the threshold. [default: 0.02]",
    ),
    option(
        "--near-duplicates",
        is_flag=True,
        help="Also find videos that are copies of others: encoded again, cut or mirrored.",
    ),
)
@options(
    "Splits",
    option(
        "--split-by",
        type=click.Choice(["people"]),
        help="Put the videos that have no official split into train, val and test; a person is in one only.",
    ),
    option("--val", type=click.FloatRange(0, 1), metavar="SHARE", help="Share of the videos for val. [default: 0.1]"),
    option("--test", type=click.FloatRange(0, 1), metavar="SHARE", help="Share of the videos for test. [default: 0.2]"),
    option("--seed", type=int, metavar="N", help="Seed of the split. [default: 0]"),
)
@options(
    "Run",
    option("--workers", type=click.IntRange(min=1), metavar="N",
           help="Number of worker processes. [default: one per core]"),
    option("--pictures", type=click.IntRange(min=0), default=20, metavar="N",
           help="Largest number of pictures of each kind: of persons in two splits, and of uncertain pairs. "
           "[default: 20]"),
)  # fmt: skip
@json_option
@debug_option
@click.pass_context
def people(
    ctx: click.Context,
    /,
    shards: tuple[str, ...],
    threshold: float | None,
    uncertain: float | None,
    near_duplicates: bool,
    split_by: str | None,
    val: float | None,
    test: float | None,
    seed: int | None,
    workers: int | None,
    pictures: int,
    as_json: bool,
) -> None:
    """Finds out which tracks show the same person, in one or more folders of SHARDS.

    SHARDS are paths or URLs. Persons are neutral codes. The command never names anyone, and asks no service. It writes
    people.json into each folder, which training, scoring and leakage checks read, and embeddings and pictures into the
    subfolder people.
    \f

    Args:
        ctx: Context of click.
        shards: Folders of shards, by path or URL.
        threshold: Largest mean distance between two groups of tracks that are joined to one person.
        uncertain: Decisions closer than this to the threshold are listed.
        near_duplicates: Whether to find near-duplicates.
        split_by: "people" to write splits by person; None to keep those that are there.
        val: Share of the videos for val.
        test: Share of the videos for test.
        seed: Seed of the split.
        workers: Number of processes; None for one per core.
        pictures: Largest number of pictures of each kind.
        as_json: Whether to print one JSON object.

    Raises:
        BadOptionUsage: If ``val``, ``test`` or ``seed`` is given without ``split_by``.
    """  # noqa: D301 - click shows only the text above the form feed
    sharing = {name: value for name, value in (("val", val), ("test", test), ("seed", seed)) if value is not None}
    if sharing and split_by is None:
        name = f"--{next(iter(sharing))}"
        raise click.BadOptionUsage(name, f"{name} needs --split-by people", ctx=ctx)

    # Imported here because torch takes seconds to import, and --help must be fast.
    from ..common.progress import Work, display
    from . import show_people
    from .find_people import run

    work = Work("embedding", unit="shards")
    given = (("threshold", threshold), ("uncertain", uncertain))
    grouping = {name: value for name, value in given if value is not None}
    try:
        with display(work) as shown:

            def saw(text: str, done: int, total: int) -> None:
                work.tell(text, done=done, total=total)
                shown.tick()

            found = run(
                shards,
                grouping=grouping,
                duplicates=near_duplicates,
                sharing={} if split_by is None else {"val": 0.1, "test": 0.2, "seed": 0, **sharing},
                workers=workers,
                pictures=pictures,
                saw=saw,
            )
    except KeyboardInterrupt:
        click.echo("interrupted: finished shards are kept; run the same command again to continue", err=True)
        ctx.exit(INTERRUPTED)
    show_people.as_json(found) if as_json else show_people.as_tables(found)
    if found.leaks or found.leaking_copies:
        ctx.exit(1)
