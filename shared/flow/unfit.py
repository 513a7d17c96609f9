"""Files that were committed and then found unfit make room for good ones, and never take any from another worker.

An address is written once, so a file that fails a check after its commit has to go. Another worker may rely on it at
that very moment: it has read it and is about to call the signing stored. So the failure is saved first, with the files
it will cost; that save and the other worker's are conditional on each other:

    the failure first   -> the other worker finds an attempt more than it began with, and leaves its result alone
    `stored` first      -> the failure is not counted, and nothing is removed
    a crash in between  -> whoever attempts it next removes what the failure named, before anything else
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shared.domain.errors import ArchiveNotReady
from shared.domain.signing import DownloadProgress, UnfitFile
from shared.ports import App


class Unfit(ArchiveNotReady):
    """What was stored cannot stay. `files` may be in the way of the next attempt."""

    def __init__(self, error: ArchiveNotReady, files: Sequence[UnfitFile]) -> None:
        super().__init__(error.reason, error.detail)
        self.files = tuple(files)


async def clear_away(app: App, files: Iterable[UnfitFile]) -> None:
    """Removes these very versions. Only after a save has named them."""
    for file in files:
        await app.documents.delete(file.blob, file.etag)


def named(progress: DownloadProgress, before: DownloadProgress, files: Iterable[UnfitFile]) -> Mapping[str, object]:
    """The update that names `files`, for a worker who began with `before` and so has removed what that named."""
    still_there = [file for file in progress.unfit if file not in before.unfit]
    return {"unfit": tuple(dict.fromkeys([*still_there, *files]))}


def is_outdated(progress: DownloadProgress, before: DownloadProgress) -> bool:
    """Whether another worker has counted a failure since, and may have removed what this one relies on."""
    return progress.attempts != before.attempts
