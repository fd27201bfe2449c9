"""Finds who is in folders of shards: from embeddings to persons, and to the table beside each folder."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mgst_data.core import UsageError
from mgst_data.people.cluster import THRESHOLD, UNCERTAIN, Doubt, cluster
from mgst_data.people.embed import NETWORK, TrackFaces, embed_folders
from mgst_data.shards import ShardFolder, VideoReport
from mgst_data.shards.people import PeopleTable, PersonTrack
from mgst_data.shards.report import latest
from mgst_data.shards.sources import sources_of

# A video of any folder: the number of the folder, and the key of the video.
Video = tuple[int, str]


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Who is in folders of shards. The n tracks of all folders follow one another.

    Attributes:
        faces: Embeddings of each folder.
        embedding: Embedding of each track.
        person: Code of the person of each track; "" if the face is too small or turned too far.
        distance: Distance of each track from the mean embedding of its person.
        doubts: Uncertain decisions, the most uncertain first; their rows are numbers of tracks.
        threshold: Threshold of the grouping.
    """

    faces: tuple[TrackFaces, ...]
    embedding: Float[Tensor, "n 128"]
    person: tuple[str, ...]
    distance: Float[Tensor, " n"]
    doubts: tuple[Doubt, ...]
    threshold: float

    def __repr__(self) -> str:
        return f"People({len(set(self.person) - {''})} persons in {len(self.person)} tracks)"

    def tracks(self) -> Iterator[tuple[Video, int]]:
        """Yields the video and the number of every track."""
        for number, faces in enumerate(self.faces):
            for key, track in zip(faces.video, faces.track, strict=True):
                yield (number, key), track

    def tables(
        self, splits: Mapping[Video, str] | None = None, options: Mapping[str, float] | None = None
    ) -> list[PeopleTable]:
        """Makes the table of each folder.

        Args:
            splits: Split by video; None keeps the splits that the folders have.
            options: Options that the splits were made with.
        """
        sizes = Counter(self.person)
        rows: list[list[PersonTrack]] = [[] for _ in self.faces]
        main = [flag for faces in self.faces for flag in faces.main]
        for i, ((number, key), track) in enumerate(self.tracks()):
            person = self.person[i]
            distance = round(float(self.distance[i]), 4)
            rows[number].append(
                PersonTrack(
                    video=key,
                    track=track,
                    main=main[i],
                    person=person,
                    tracks=sizes[person] if person else 0,
                    distance=distance,
                )
            )
        made = []
        for number, faces in enumerate(self.faces):
            before = PeopleTable.read(faces.location) if splits is None else None
            mine = {key: split for (folder, key), split in (splits or {}).items() if folder == number}
            table = PeopleTable(
                NETWORK,
                self.threshold,
                tuple(rows[number]),
                before.splits if before else mine,
                before.options if before else dict(options or {}),
            )
            made.append(table)
        return made


def find_people(
    folders: Sequence[str | Path],
    *,
    threshold: float = THRESHOLD,
    uncertain: float = UNCERTAIN,
    workers: int | None = None,
    saw: Callable[[int, int], object] = lambda *_: None,
) -> People:
    """Finds out which tracks of folders of shards show the same person.

    A person is a neutral code that is made from the numbers of an embedding. Nobody is named.

    Args:
        folders: Folders of shards, by path or fsspec URL, each once.
        threshold: Largest mean distance between two groups of tracks that are joined to one person.
        uncertain: Decisions closer than this to the threshold are listed as uncertain.
        workers: Number of processes; None for one per core. The result does not depend on it.
        saw: Called with the number of finished shards and the number of all shards.

    Raises:
        UsageError: if a folder is given twice or is not complete, or the threshold is not positive.
        ShardError: if a shard is damaged.
        MgstError: if a worker process dies.
    """
    if threshold <= 0:
        raise UsageError(f"the threshold must be above 0, got {threshold}", hint="the default is suitable")
    sources_of(list(folders))  # raises an error for a folder that is given twice
    faces = tuple(embed_folders(folders, workers=workers, saw=saw))
    embedding = torch.cat([some.embedding for some in faces])
    known = torch.tensor([count > 0 for some in faces for count in some.frames], dtype=torch.bool)
    rows = known.nonzero()[:, 0]
    label, doubts = cluster(embedding[rows], threshold, uncertain=uncertain)
    person, distance = [""] * len(embedding), torch.zeros(len(embedding))
    for members in _groups(label):
        mine = rows[torch.from_numpy(members)]
        vectors = embedding[mine]
        code = min(hashlib.blake2b(vector.numpy().tobytes(), digest_size=6).hexdigest() for vector in vectors)
        distance[mine] = (vectors - vectors.mean(dim=0)).norm(dim=1)
        for row in mine.tolist():
            person[row] = f"p{code}"
    placed = tuple(Doubt(int(rows[d.first]), int(rows[d.second]), d.distance, d.joined) for d in doubts)
    return People(faces, embedding, tuple(person), distance, placed, threshold)


def video_reports(people: People) -> dict[Video, VideoReport]:
    """Returns the reports of all videos with a face, in the order of the folders and their plans."""
    found = {}
    for number, faces in enumerate(people.faces):
        for key, report in latest(ShardFolder.read(faces.location).reports()).items():
            if report.chunks:
                found[number, key] = report
    return found


def _groups(label: Int[np.ndarray, " n"]) -> list[Int[np.ndarray, " m"]]:
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1) if len(label) else []
