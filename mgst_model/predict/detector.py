"""The detector: extracts the faces of a video and scores them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from mgst_data.core import NoFaceError, UsageError, VideoError
from mgst_data.core.devices import choose_device
from mgst_data.core.records import main_track
from mgst_data.shards.storage import output_errors, write_atomic
from mgst_data.video.batches import ahead
from mgst_model.evaluate.crops import InputSpec
from mgst_model.evaluate.explain import Explainer
from mgst_model.evaluate.windows import score_runs
from mgst_model.export.runtime import ExportedNetwork
from mgst_model.networks.checkpoint import (
    PACKAGED,
    LoadedNetwork,
    NetworkCard,
    copy_network,
    load_network,
    save_network,
)
from mgst_model.networks.folding import fold_batch_norms
from mgst_model.networks.hub import MODEL, PAGE, HubName, fetch, is_hub_name, is_repository, upload
from mgst_model.networks.page import shared_card, write_page
from mgst_model.predict.faces import (
    HINT,
    FaceRun,
    Frames,
    RunReader,
    RunSource,
    Source,
    VideoSummary,
    face_extractor,
    is_picture,
    name_of,
)
from mgst_model.predict.parts import TrackParts
from mgst_model.predict.prediction import USUAL_FPS, Saw, VideoPrediction
from mgst_model.predict.runtime import Precision, Runtime, load_exported, runtime_of, uses_bfloat16

Video = str | Path | np.ndarray | Tensor
Videos = list[str] | list[Path] | list[str | Path] | tuple[str | Path, ...]
# Runs that a thread extracts while the network scores one.
_AHEAD = 2
# Windows per call of the network. On a CPU, larger batches exceed its caches.
_BATCH = {"cpu": 2, "cuda": 16}


def load_detector(
    weights: str | Path | None = None,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    stride: int | None = None,
    batch: int | None = None,
    faces: RunSource | None = None,
    runtime: Runtime | None = None,
    explain: bool = False,
) -> Detector:
    """Loads a detector: ``load_detector().predict("video.mp4").score``.

    Args:
        weights: Folder of a training, of which ``best`` is used, a weights file, a folder that
            :meth:`Detector.save_pretrained` wrote, or ``hf://user/name``. None for the weights that come with the
            toolkit; see the model card in the documentation for what they can do and what they must not be used
            for.
        device: "cpu", "cuda", or "auto" for CUDA if available.
        precision: Number format of the network: "fp32", "bf16" (changes a score by about 0.01), or "auto" for bf16 on
            devices with bfloat16 instructions.
        stride: Frames from the start of one window to the start of the next. None: windows do not overlap.
        batch: Windows per call of the network; None for a number that suits the device.
        faces: Source of faces; None to extract them in a thread on the same device.
        runtime: Library that runs the network: "torch", or "onnx" on the CPU. Weights for "onnx" are an ``.onnx`` file;
            other weights are exported the first time. None for the one that suits the weights.
        explain: Whether to compute for every frame which regions of the face carry its score. It needs the extra
            ``explain`` and the runtime "torch", and takes about four times as long. Networks with patch scores do not
            need it.

    Raises:
        UsageError: if the weights cannot be read, the device does not exist, or the stride leaves out frames; if ONNX
            Runtime is asked for a GPU, bf16 or an explanation.
        ImportError: if the runtime is not installed, or ``explain`` is set and captum is not installed.
        MgstError: if an export gives other scores than the weights.
    """
    if runtime_of(weights, runtime) == "onnx":
        if explain:
            raise UsageError("ONNX Runtime computes no gradients for explain", hint="use the runtime torch")
        exported = load_exported(weights, device=device, precision=precision)
        return Detector(exported, device="cpu", stride=stride, batch=batch or _BATCH["cpu"], faces=faces)
    device = choose_device(device)
    loaded = load_network(PACKAGED if weights is None else weights, device=device)
    fold_batch_norms(loaded.network)
    half = uses_bfloat16(precision, device)
    batch = batch or _BATCH[torch.device(device).type]
    return Detector(loaded, device=device, half=half, stride=stride, batch=batch, faces=faces, explain=explain)


class Detector:
    """Scores videos one after another with the same network. :func:`load_detector` builds it.

    Args:
        loaded: The network, on the device.
        device: Device of the network.
        half: Whether the network computes in bfloat16.
        stride: Frames from the start of one window to the start of the next. None: windows do not overlap.
        batch: Windows per call of the network.
        faces: Source of faces; None to extract them in a thread on the same device.
        explain: Whether to compute maps of every frame, see :func:`load_detector`.

    Raises:
        UsageError: if the stride leaves out frames.
        ImportError: if ``explain`` is set and captum is not installed.
    """

    def __init__(
        self,
        loaded: LoadedNetwork,
        *,
        device: str = "cpu",
        half: bool = False,
        stride: int | None = None,
        batch: int = 8,
        faces: RunSource | None = None,
        explain: bool = False,
    ) -> None:
        if stride is not None and stride > loaded.frames:
            what = f"stride must be at most {loaded.frames}, the number of frames of a window, got {stride}"
            raise UsageError(what, hint="a larger stride leaves out frames")
        self.loaded, self.device, self.half, self.stride, self.batch = loaded, device, half, stride, batch
        # Networks with a temporal stream have patch scores.
        self.explainer = Explainer(loaded.network) if explain and loaded.shortest == 1 else None
        self.faces = faces or RunReader(InputSpec.of(loaded), face_extractor(device))

    @classmethod
    def from_pretrained(
        cls,
        place: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        offline: bool = False,
        **options: Any,
    ) -> Detector:
        """Loads a detector by name: ``Detector.from_pretrained("user/name")``, or from a folder.

        Args:
            place: Folder or weights file; or a repository of the Hugging Face Hub, as "user/name" or
                "hf://user/name@revision". A folder comes first.
            revision: Branch, tag or commit of the repository; None for the newest files.
            token: Token for a private repository; None for the one that ``hf auth login`` has stored.
            offline: Whether to use an earlier download without asking the hub.
            **options: Options of :func:`load_detector`, such as ``device="cpu"``.

        Raises:
            UsageError: if there are no such weights, or the hub is unreachable and there is no earlier download.
        """
        if not is_hub_name(place) and (Path(place).exists() or not is_repository(place)):
            if revision is not None:
                raise UsageError("a file or folder has no revisions", where=place, hint="leave out the revision")
            return load_detector(place, **options)
        name = HubName.of(place)
        name = name if revision is None else replace(name, revision=revision)
        return load_detector(fetch(name, token=token, offline=offline), **options)

    def save_pretrained(self, folder: str | Path, *, title: str = "", repo: str = "", licence: str = "") -> Path:
        """Writes the detector to a folder: weights (safetensors), their card (JSON) and a page about them (README.md).

        Paths of the training data are left out of the card. :meth:`from_pretrained` and ``--weights`` of all commands
        read the folder.

        Args:
            folder: Folder to write to. It is created if needed.
            title: Heading of the page; "" for the name of the repository.
            repo: Name of the repository that the page is for, "user/name"; "" if there is none.
            licence: Licence of the weights, for example "apache-2.0"; "" writes that it is not stated.

        Returns:
            The folder.

        Raises:
            UsageError: if the weights file that the detector was loaded from is gone, or is an ``.onnx`` file.
            OutputError: if the folder cannot be written.
        """
        if isinstance(self.loaded, ExportedNetwork):
            what = "this detector is an exported file, which has no weights to save"
            raise UsageError(what, hint="load the weights that it was exported from, or share the file itself")
        folder, card = Path(folder), shared_card(self.loaded.card)
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        if self.loaded.weights is not None:
            # The file, because batch norms are folded in memory.
            copy_network(self.loaded.weights, card, folder / MODEL)
        else:
            save_network(
                folder / MODEL,
                self.loaded.network,
                card.config,
                frames=card.frames,
                size=card.size,
                face_margin=card.face_margin,
                info=card.info,
            )
        write_atomic(folder / PAGE, write_page(card, title=title, repo=repo, licence=licence).encode())
        return folder

    def push_to_hub(
        self,
        repo: str,
        *,
        revision: str | None = None,
        private: bool = False,
        token: str | None = None,
        title: str = "",
        licence: str = "",
        message: str = "Upload a detector",
    ) -> str:
        """Uploads the files of :meth:`save_pretrained` to a repository of the Hugging Face Hub.

        Args:
            repo: Name of the repository, "user/name". It is made if needed.
            revision: Branch to upload to, which must exist; None for the main branch.
            private: Whether a new repository is visible to its owner only.
            token: Token of the user; None for the one that ``hf auth login`` has stored.
            title: Heading of the page; "" for the name of the repository.
            licence: Licence of the weights; "" writes that it is not stated.
            message: Message of the commit.

        Returns:
            Address of the commit.

        Raises:
            UsageError: if the hub is unreachable or refuses the upload.
        """
        name = replace(HubName.of(repo), revision=revision)
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, title=title, repo=name.repo, licence=licence)
            return upload(Path(folder), name, private=private, token=token, message=message)

    def __repr__(self) -> str:
        return f"Detector({self.loaded.frames} frames of {self.loaded.size} pixels, {self.device})"

    @overload
    def predict(self, video: Video, *, fps: float = 0.0, saw: Saw = ...) -> VideoPrediction: ...
    @overload
    def predict(self, video: Videos, *, fps: float = 0.0, saw: Saw = ...) -> list[VideoPrediction]: ...

    def predict(
        self, video: Video | Videos, *, fps: float = 0.0, saw: Saw = lambda _: None
    ) -> VideoPrediction | list[VideoPrediction]:
        """Scores all faces of a video.

        Args:
            video: Path or URL of a video, a picture, or a folder with the frames of one video. Or frames as a uint8
                array (n, h, w, 3) or tensor (n, 3, h, w), RGB. Or a list of paths, each of which is scored.
            fps: Frames per second of frames in memory; 0 if unknown, and 25 is assumed.
            saw: Called at intervals with the number of frames that have been read.

        Returns:
            A prediction; for a list, a list of predictions. The first video of a list that cannot be scored raises its
                error. To continue with the other videos, call this method for each video and catch the errors.

        Raises:
            VideoError: if the video cannot be read, or is a picture and the network needs more than one frame.
            NoFaceError: if it has no face that can be scored.
            TypeError: if frames are not a uint8 array or tensor.
            ValueError: if frames have another shape.
        """
        if isinstance(video, np.ndarray | Tensor):
            return self._predict(Frames.of(video, fps=fps), saw)
        if isinstance(video, list | tuple):
            return [self._predict(str(path), saw) for path in video]
        return self._predict(str(video), saw)

    def _predict(self, source: Source, saw: Saw) -> VideoPrediction:
        check_length(source, self.loaded)
        parts, rest = self._score(source, saw)
        if not parts:
            what = "no face is visible in two consecutive frames"
            raise NoFaceError(what, where=name_of(source), hint=HINT, reason="faces_too_brief")
        order = sorted(parts)
        calibration = self.loaded.calibration(picture=is_picture(source))
        kind = "pictures" if is_picture(source) else "videos"
        tracks = [parts[i].prediction(i, calibration, kind) for i in order]
        one = parts[order[0]].runs[0]
        end = max(float(track.time[-1]) for track in tracks)
        rate = one.fps or USUAL_FPS
        model = {"frames": self.loaded.frames, "size": self.loaded.size, "precision": "bf16" if self.half else "fp32"}
        return VideoPrediction(
            source=source,
            tracks=tracks,
            main=order.index(main_track({track: mine.area for track, mine in parts.items()})),
            frames=rest.frames,
            fps=one.fps,
            size=one.size,
            seconds=0.0 if is_picture(source) else max(end + 1 / rate, rest.frames / rate),
            model={name: value for name, value in self.loaded.info.items() if name != "calibration"} | model,
            calibration=calibration,
            threshold=self.loaded.threshold_at(picture=is_picture(source) and calibration is not None),
            caution=self.loaded.caution,
            unscored=rest.unscored,
            notes=rest.notes,
        )

    def _score(self, source: Source, saw: Saw) -> tuple[dict[int, TrackParts], VideoSummary]:
        """Scores the faces of a video while a thread extracts the next ones.

        Raises:
            RuntimeError: if the source of faces yields no summary.
        """
        waiting: deque[tuple[FaceRun, UInt8[Tensor, "n 3 h w"] | None]] = deque()
        parts: dict[int, TrackParts] = {}
        rest: VideoSummary | None = None

        def runs() -> Generator[UInt8[Tensor, "n 3 h w"]]:
            nonlocal rest
            with closing(self.faces(source)) as found:
                for run in found:
                    if isinstance(run, VideoSummary):
                        rest = run
                        continue
                    saw(run.read)
                    pixels = torch.from_numpy(run.pixels).permute(0, 3, 1, 2)
                    waiting.append((run.without_pixels(), pixels if self.explainer else None))
                    yield pixels

        for scores in score_runs(
            self.loaded.network,
            ahead(runs(), _AHEAD),
            frames=self.loaded.frames,
            stride=self.stride,
            batch=self.batch,
            device=self.device,
            half=self.half,
        ):
            run, pixels = waiting.popleft()
            mine = parts.setdefault(run.track, TrackParts())
            maps = None
            if self.explainer and pixels is not None:
                maps = self.explainer(pixels, batch=self.batch * self.loaded.frames).half().numpy()
            mine.add(run, scores, maps)
        if rest is None:
            raise RuntimeError(f"{name_of(source)}: the source of faces yielded no VideoSummary at its end")
        return parts, rest


def check_length(source: Source, network: NetworkCard) -> None:
    """Checks that the network can score the source: a picture needs a network for single frames.

    Args:
        source: The video or picture.
        network: Card of the network.

    Raises:
        VideoError: if the source is a picture and the network needs more than one frame.
    """
    if is_picture(source) and network.shortest > 1:
        what = f"is a single picture, but this network needs {network.frames} consecutive frames"
        hint = "give a video, or the weights of a network for single frames"
        raise VideoError(what, where=name_of(source), hint=hint, reason="single_picture")
