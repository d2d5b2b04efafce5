"""A root in an object store. The only file that imports obstore.

Nothing can be renamed there, and no lock reaches other machines. So a snapshot is staged on this machine, then uploaded: first
the file that says it is pending, last its manifest. ``current.json`` names the published one, and is replaced only if it still
is what it was when the job began (conditional put): whoever is late has lost, and what it uploaded goes again. Where no answer
comes, the put may still be carried out: then what was uploaded stays, and the next job sees what became of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tallyfy_frames.atomic import refusals
from tallyfy_frames.errors import LockHeld, MissingExtra, SinkError
from tallyfy_frames.lake.lock import LOCK_NAME, locked
from tallyfy_frames.lake.place import MANIFEST, NAME, PENDING, RETIRED, SNAPSHOTS, STAGING, Entry, Pointer
from tallyfy_frames.lake.spool import SPOOL_NAME
from tallyfy_frames.settings import cache_folder, check_endpoint

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CURRENT: Final = "current.json"
# An upload that has not moved for so long is no upload any more: its job died, on another machine.
UPLOAD_MAX: Final = timedelta(days=1)
NO_BUCKET: Final = "NoSuchBucket"  # S3's word for it
RETRIES: Final[Any] = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}


class Bucket:
    """A :class:`~tallyfy_frames.lake.place.Place` below an address such as ``s3://bucket/lake``."""

    def __init__(self, address: str) -> None:
        """Credentials, region and endpoint come from the environment, as the store's own tools read it (``AWS_…``)."""
        try:
            import obstore  # noqa: PLC0415 - an extra
            from obstore.store import from_url  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("obstore", "buckets") from None
        check_endpoint()
        self.address = address.rstrip("/")
        self._obstore = obstore
        with self._refusals(""):
            self._store: ObjectStore = from_url(self.address, retry_config=RETRIES)
        self._undecided = False  # whether ``current.json`` may still come to name what this job uploaded
        self.work = cache_folder() / hashlib.sha256(self.address.encode()).hexdigest()[:16]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder in which jobs of this machine work on this root."""
        with refusals(self.work):
            self.work.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.work.mkdir(mode=0o700, exist_ok=True)
            if self.work.parent.stat().st_uid != os.geteuid():  # below /tmp anybody may have made it
                raise SinkError(
                    "this folder is somebody else's", path=self.work.parent, hint="set XDG_CACHE_HOME to one of yours"
                )
        with locked(self.work, self.address):
            self._clear_others()
            self._refuse_foreign()
            yield

    def pointer(self) -> Pointer | None:
        """What ``current.json`` names, and the version of it."""
        with self._refusals(CURRENT):
            try:
                found = self._obstore.get(self._store, CURRENT)
                data, meta = bytes(found.bytes()), found.meta
            except FileNotFoundError as error:
                if NO_BUCKET in str(error):
                    raise
                return None
        try:
            name = json.loads(data)["snapshot"]
        except (ValueError, KeyError, TypeError):
            name = None
        if not isinstance(name, str) or data != _pointing_to(name) or not NAME.fullmatch(name):
            hint = self.leading_to(max(self.snapshots(), default="NAME"))
            raise SinkError(f"{CURRENT} is damaged", path=self.source(CURRENT), hint=hint)
        return Pointer(name, {key: value for key in ("e_tag", "version") if (value := meta[key]) is not None})

    def leading_to(self, name: str) -> str:
        """What to write."""
        text = _pointing_to(name).decode().strip()
        return f"lead it to the newest that is good: {text} and a line end, in {self.source(CURRENT)}"

    def read(self, path: str) -> bytes | None:
        """An object's bytes."""
        with self._refusals(path):
            try:
                return bytes(self._obstore.get(self._store, path).bytes())
            except FileNotFoundError as error:
                if NO_BUCKET in str(error):
                    raise
                return None

    def put(self, path: str, data: bytes) -> None:
        """One put."""
        with self._refusals(path):
            self._obstore.put(self._store, path, data)

    def delete(self, path: str) -> None:
        """One delete; it does not matter whether it is there."""
        with self._refusals(path):
            self._obstore.delete(self._store, path)

    def files(self, path: str) -> list[Entry]:
        """All objects below ``path``."""
        with self._refusals(path):
            pages = self._obstore.list(self._store, path or None)
            return sorted(Entry(one["path"], one["size"], one["last_modified"]) for page in pages for one in page)

    def source(self, path: str) -> str:
        """Its address."""
        return f"{self.address}/{path}"

    def snapshots(self) -> list[str]:
        """Prefixes named as snapshots are."""
        with self._refusals(SNAPSHOTS):
            found = self._obstore.list_with_delimiter(self._store, SNAPSHOTS)["common_prefixes"]
        return sorted(name for name in (prefix.rpartition("/")[2] for prefix in found) if NAME.fullmatch(name))

    def staging(self, name: str) -> Path:
        """A folder on this machine."""
        return self.work / f"{STAGING}{name}"

    def publish(self, staged: Path, name: str, since: Pointer | None) -> None:
        """Upload, the manifest last, then let ``current.json`` name it."""
        files = [place for place in staged.rglob("*") if place.is_file()]
        for place in sorted(files, key=lambda place: (place != staged / PENDING, place == staged / MANIFEST, place)):
            path = f"{SNAPSHOTS}/{name}/{place.relative_to(staged).as_posix()}"
            with self._refusals(path):
                self._obstore.put(self._store, path, place)
        self._point_to(name, since)
        shutil.rmtree(staged, ignore_errors=True)  # if it stays, the next job removes it

    def forget(self, name: str) -> None:
        """What was staged, and what was uploaded."""
        if self._undecided:
            return
        with contextlib.suppress(SinkError):
            self.remove(name)
        shutil.rmtree(self.staging(name), ignore_errors=True)

    def abandoned(self, name: str, now: datetime) -> bool:
        """It is still staged here; or it has not moved for so long that whatever machine began it has given up."""
        return self.staging(name).exists() or all(
            entry.changed_at < now - UPLOAD_MAX for entry in self.files(f"{SNAPSHOTS}/{name}")
        )

    def clear(self) -> None:
        """What is staged."""
        _remove_staged(self.work)

    def remove(self, name: str) -> None:
        """First its data, last what says that it is none any more: half removed, it is still known as that."""
        folder = f"{SNAPSHOTS}/{name}"
        paths = [entry.path for entry in self.files(folder)]
        last = [path for path in (f"{folder}/{one}" for one in (MANIFEST, PENDING, RETIRED)) if path in paths]
        with self._refusals(folder):
            for some in ([path for path in paths if path not in last], *([path] for path in last)):
                if some:
                    self._obstore.delete(self._store, some)

    def _point_to(self, name: str, since: Pointer | None) -> None:
        """Replace ``current.json`` if it is what it was."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError  # noqa: PLC0415 - an extra

        mode: Any = "create" if since is None else since.version
        self._undecided = True
        try:
            with self._refusals(CURRENT):
                self._obstore.put(self._store, CURRENT, _pointing_to(name), mode=mode)
        except SinkError as error:
            if not isinstance(error.__cause__, (AlreadyExistsError, PreconditionError)):
                raise
        else:
            return
        # It is another one than it was. Maybe through us: a put whose answer was lost is sent again, and then refused.
        now = self.pointer()
        if now is None or now.snapshot != name:
            self._undecided = False
            what = "another job has published to this root since this one began"
            published = None if now is None else now.snapshot
            raise LockHeld(what, root=self.address, published=published, hint="run this one again, if it is still wanted")

    def _clear_others(self) -> None:
        """What jobs on other roots have left here that died, and were not run again: after a day it is of no use."""
        old_s = time.time() - UPLOAD_MAX.total_seconds()
        for folder in self.work.parent.iterdir():
            if folder == self.work or not (folder / LOCK_NAME).is_file():
                continue
            with contextlib.suppress(LockHeld, SinkError, OSError):  # its job runs, or has just ended
                if all(place.stat().st_mtime < old_s for place in folder.iterdir()):
                    with locked(folder):
                        _remove_staged(folder)
                        (folder / SPOOL_NAME).unlink(missing_ok=True)

    def _refuse_foreign(self) -> None:
        """A root is ours if it is empty, or is pointed into."""
        with self._refusals(""):
            found = self._obstore.list_with_delimiter(self._store)
        names = {entry["path"].rpartition("/")[2] for entry in found["objects"]}
        names |= {prefix.rpartition("/")[2] for prefix in found["common_prefixes"]}
        others = sorted(names - {SNAPSHOTS})
        if others and CURRENT not in names:
            what = f"the root holds something else: {', '.join(others[:3])}"
            raise SinkError(what, path=self.address, hint="name a new or empty prefix")

    @contextmanager
    def _refusals(self, path: str) -> Iterator[None]:
        """What the store refuses, as ``SinkError`` naming the place."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError  # noqa: PLC0415 - an extra

        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            hint = "check address, credentials and network"
            if self.address.startswith("s3:"):
                hint += " (AWS_ENDPOINT_URL, AWS_REGION; AWS_ALLOW_HTTP=true where there is no TLS)"
            what = f"the object store refuses: {_in_short(error)}"
            if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
                hint = "check the credentials and what they allow"
            elif NO_BUCKET in str(error):
                what, hint = "there is no such bucket", "make it, or check the address and AWS_ENDPOINT_URL"
            raise SinkError(what, path=self.source(path).rstrip("/"), hint=hint) from error


def _remove_staged(folder: Path) -> None:
    with refusals(folder, "remove"):
        for place in folder.glob(f"{STAGING}*"):
            shutil.rmtree(place)


def _pointing_to(name: str) -> bytes:
    """The whole of ``current.json``: anything else in it is damage."""
    return json.dumps({"snapshot": name}).encode() + b"\n"


def _in_short(error: Exception) -> str:
    """The store's first line, without its XML."""
    return str(error).partition("\n")[0].partition("<?xml")[0].strip(" :")[:300]
