"""Weights by name: a repository of the Hugging Face Hub has the weights, their card and a page for people.

``hf://user/name`` stands for the newest files of a repository, ``hf://user/name@revision`` for those of a branch, tag
or commit. Only safetensors and JSON are downloaded. An unreachable hub is an answer within seconds.
"""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mgst_data.core import UsageError
from mgst_data.core.errors import MgstWarning, first_line

try:
    import huggingface_hub
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
except ImportError as error:
    raise ImportError("weights by name need huggingface_hub: pip install 'mgst[hub]'") from error

PREFIX = "hf://"
# Name of the weights in a repository: MODEL.safetensors and MODEL.json, with a page about them.
MODEL, PAGE = "model", "README.md"
_FILES = (f"{MODEL}.safetensors", f"{MODEL}.json", PAGE)
# pathlib removes one of the two slashes.
_NAME = re.compile(r"(?:hf:/{1,2})?(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
# Seconds after which the hub counts as unreachable.
_PATIENCE = 2.0
# Errors of a download: of the file system, of the hub, and, as the base class of the latter, of the connection.
_FAULTS: tuple[type[Exception], ...] = (OSError, HfHubHTTPError.__mro__[1])
_NO_HUB = (
    "give the folder of a copy with mgst-predict --weights FOLDER or Detector.from_pretrained(FOLDER), or download it "
    "once where the hub is reachable and copy the cache folder (HF_HOME)"
)


@dataclass(frozen=True, slots=True)
class HubName:
    """The name of a repository.

    Attributes:
        repo: Owner and name, "user/name".
        revision: Branch, tag or commit; None for the newest files.
    """

    repo: str
    revision: str | None = None

    @staticmethod
    def of(text: str | Path) -> HubName:
        """Reads ``user/name``, with or without ``hf://`` and ``@revision``.

        Raises:
            UsageError: if the text has another form.
        """
        found = _NAME.fullmatch(str(text))
        if found is None:
            raise UsageError("not a name of a repository", where=text, hint=f"example: {PREFIX}user/name@v1.0")
        return HubName(found["repo"], found["revision"])

    def __str__(self) -> str:
        return f"{PREFIX}{self.repo}" + (f"@{self.revision}" if self.revision else "")


def is_hub_name(text: str | Path) -> bool:
    """Whether a place of weights is a repository: it begins with ``hf://``."""
    return str(text).startswith(("hf://", "hf:/"))


def is_repository(text: str | Path) -> bool:
    """Whether a text has the form of a name of a repository, "user/name"."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def fetch(name: HubName, *, token: str | None = None, offline: bool = False) -> Path:
    """Downloads weights, or returns those of an earlier download.

    If the hub is unreachable, the files of an earlier download are used, with a warning.

    Args:
        name: Name of the repository.
        token: Token of the user; None for the one that ``hf auth login`` has stored.
        offline: Whether to use an earlier download without asking the hub.

    Returns:
        Folder with ``model.safetensors`` and ``model.json``.

    Raises:
        UsageError: if the repository does not exist or has no weights of mgst, or if the hub is unreachable and there
            is no earlier download. The latter has the reason "no_hub".
    """
    kept = _kept(name)
    if kept is not None and (offline or kept.name == name.revision):  # the files of a commit never change
        return kept
    fault = "it is not asked" if offline else fault_of(huggingface_hub.constants.ENDPOINT)
    if fault and kept is not None:
        what = f"{name}: the hub is unreachable ({fault}), so an earlier download is used (commit {kept.name[:12]})"
        warnings.warn(what, MgstWarning, stacklevel=2)
        return kept
    if fault:
        what = f"the hub is unreachable ({fault}), and there is no earlier download"
        raise UsageError(what, where=name, hint=_NO_HUB, reason="no_hub")
    with hub_errors(name):
        folder = huggingface_hub.snapshot_download(
            name.repo,
            revision=name.revision,
            allow_patterns=list(_FILES),
            endpoint=huggingface_hub.constants.ENDPOINT,
            cache_dir=huggingface_hub.constants.HF_HUB_CACHE,
            token=token,
        )
    for file in _FILES[:2]:
        if not (Path(folder) / file).is_file():
            what = f"this repository has no {file}, so it is no detector of mgst"
            raise UsageError(what, where=name, hint="upload a detector with Detector.push_to_hub")
    return Path(folder)


def upload(
    folder: Path, name: HubName, *, private: bool = False, token: str | None = None, message: str = "Upload a detector"
) -> str:
    """Uploads the files of a detector. A repository is made if needed.

    Args:
        folder: Folder that :meth:`mgst_model.predict.Detector.save_pretrained` wrote.
        name: Name of the repository; its revision is the branch to upload to, which must exist.
        private: Whether only the user sees a repository that is made now.
        token: Token of the user; None for the one that ``hf auth login`` has stored.
        message: Message of the commit.

    Returns:
        Address of the commit.

    Raises:
        UsageError: if the hub is unreachable or refuses the upload.
    """
    fault = fault_of(huggingface_hub.constants.ENDPOINT)
    if fault:
        what = f"the hub is unreachable ({fault})"
        hint = "save_pretrained writes the same files to a folder; upload them later"
        raise UsageError(what, where=name, hint=hint, reason="no_hub")
    api = huggingface_hub.HfApi(endpoint=huggingface_hub.constants.ENDPOINT, token=token)
    with hub_errors(name):
        api.create_repo(name.repo, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=name.repo,
            folder_path=folder,
            revision=name.revision,
            allow_patterns=list(_FILES),
            commit_message=message,
        )
    return str(done.commit_url)


@contextmanager
def hub_errors(name: HubName) -> Iterator[None]:
    """Converts errors of the hub and of the connection into a UsageError.

    Args:
        name: Name of the repository, for the error message.

    Raises:
        UsageError: if the block raises such an error.
    """
    login = "log in with: hf auth login"
    try:
        yield
    except GatedRepoError as error:
        what = "this repository asks for an agreement to its conditions"
        raise UsageError(what, where=name, hint=f"agree on its page, then {login}") from error
    except RepositoryNotFoundError as error:
        what = "no such repository, or a private one"
        raise UsageError(what, where=name, hint=f"check the name; for a private one {login}") from error
    except RevisionNotFoundError as error:
        what = f"no such branch, tag or commit: {name.revision}"
        raise UsageError(what, where=name, hint="the page of the repository lists them under Files") from error
    except HfHubHTTPError as error:
        hint = login if error.response.status_code in (401, 403) else "try again later"
        raise UsageError(f"the hub answers: {first_line(error)}", where=name, hint=hint, reason="hub") from error
    except LocalEntryNotFoundError as error:
        raise UsageError(f"the download failed: {first_line(error)}", where=name, hint=_NO_HUB, reason="hub") from error
    except _FAULTS as error:
        what = f"the connection to the hub failed: {first_line(error)}"
        raise UsageError(
            what, where=name, hint="try again: a download continues where it stopped", reason="hub"
        ) from error


def fault_of(address: str) -> str:
    """Returns why a web server is unreachable, or "" if it answers with any status. It takes at most two seconds.

    Without this question the library of the hub tries again for minutes.

    Args:
        address: Address of the server.
    """
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    faults: list[str] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_PATIENCE):  # noqa: S310
                faults.append("")
        except urllib.error.HTTPError:
            faults.append("")
        except OSError as error:
            faults.append(str(getattr(error, "reason", error)) or type(error).__name__)

    # In a thread, because the time limit of urllib does not hold while the name of the server is looked up.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return faults[0] if faults else "timed out"


def _kept(name: HubName) -> Path | None:
    """Returns the folder of an earlier download; None if there is none or it is incomplete."""
    found: list[Path] = []
    for file in _FILES[:2]:
        path = huggingface_hub.try_to_load_from_cache(
            name.repo, file, revision=name.revision, cache_dir=huggingface_hub.constants.HF_HUB_CACHE
        )
        if not isinstance(path, str):
            return None
        found.append(Path(path).parent)
    return found[0] if found[0] == found[1] else None
