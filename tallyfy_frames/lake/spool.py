"""What a job has read so far, beside its root: if it dies, the next one asks only for what is missing.

One file: a line that says what the answers belong to, then one record an answer, appended as it comes. Every byte of it is
covered by a digest, and each digest takes in the one before: a record counts only where it was written, under its own line. One
that ends too early was being written when the job died, and is cut off; whole ones that are gone from the end are asked for
again, as if the job had died before them. Anything else that does not fit is damage, and nothing of the file is used.
The digests have no key: they show accidents, not forgery. Rows lie in it with their secrets masked; nobody else may read it.

It is used for the same question by the same reader only, while it is fresh, and while no snapshot has been published since;
otherwise it is dropped, with a word. It is fresh for an hour after the last answer, which is the file's time; or, if the API
then asked for a wait, for an hour after that: an hourly limit makes one wait for most of an hour.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import stat
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa

from tallyfy_frames.atomic import refusals
from tallyfy_frames.errors import ApiError, PaginationError, RateLimited, SinkError, TallyfyFramesError, warn

logger: Final = logging.getLogger(__name__)

SPOOL_NAME: Final = ".spool"
FRESH_S: Final = 3600.0
WAIT_MAX_S: Final = 86_400.0  # the longest wait, from the last answer, that keeps it fresh
DIGEST_BYTES: Final = 16
# Before each record: bytes of its key, of its packed data, and of the data unpacked; the digest of these and what follows; and
# one of all that again, so that a damaged size is not taken for the end of the file.
SIZES: Final = struct.Struct("<III")
HEAD: Final = struct.Struct(f"<{SIZES.size + DIGEST_BYTES}s{DIGEST_BYTES}s")
HEADER_MAX: Final = 1 << 20
CLOSED: Final = -1
DAMAGED: Final = -1
# What may be over when the same is asked again; so may an answer that was none, since nothing that was kept is to blame for it.
# All other errors come from what was read, or from a bug that it brings out.
PASSING: Final = (ApiError, SinkError, OSError, MemoryError, KeyboardInterrupt, SystemExit)
GOES_ON: Final = "the same snapshot {} goes on from there"
# The key of a record that is no answer: how long after the last one, in seconds, the API allows the next request.
WAIT: Final = b""


class Spool:
    """Answers by key, each to be used once, and a place for more. A context manager; safe to use from several threads."""

    def __init__(self, root: Path, binding: Mapping[str, Any]) -> None:
        """Take over what an earlier job with the same ``binding`` has left in ``root``; without any, begin anew."""
        self.place = root / SPOOL_NAME
        self.began_at = datetime.now(UTC)
        self.found = 0  # answers taken over
        self.taken = 0  # of these, used so far
        self.kept = 0  # answers there now
        self._codec = pa.Codec("zstd", compression_level=1)
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._asking = 0
        self._unanswered: list[TallyfyFramesError] = []  # what was raised instead of an answer
        self._chain = b""  # the digest that the next record's takes in
        self._records: dict[bytes, deque[tuple[int, int, int]]] = {}  # by key: where the data lies, its size, and unpacked
        self._refuse_foreign()
        with refusals(self.place):
            self._file = os.open(self.place, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.fchmod(self._file, 0o600)
                reason = self._take_over(binding)
                if reason is not None:
                    self._begin(binding)
            except BaseException:
                os.close(self._file)
                raise
        if reason:
            warn(f"what an earlier job had read is dropped: {reason}")
        if self.found:
            logger.info("going on from %d answers that an earlier job has read since %s", self.found, self.began_at.isoformat())

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While an answer is asked for and kept.

        A job that died may die again, and what is on its way then is asked for once more. So after a death only one answer may
        be at first, and one more for every ten that this job has kept: all deaths together cost a tenth, and one for each.
        """
        with self._room:
            self._room.wait_for(
                lambda: self._file == CLOSED or not self.found or self._asking <= (self.kept - self.found) // 10
            )
            self._asking += 1
        try:
            yield
        except TallyfyFramesError as error:
            self._unanswered.append(error)
            raise
        finally:
            with self._room:
                self._asking -= 1
                self._room.notify_all()

    def take(self, key: str) -> bytes | None:
        """The next answer kept under ``key``, in the order they came."""
        with self._lock:
            records = self._records.get(_digest(key.encode()))
            if not records or self._file == CLOSED:
                return None
            offset, size, unpacked = records.popleft()
            self.taken += 1
            data = os.pread(self._file, size, offset)
        return bytes(self._codec.decompress(data, decompressed_size=unpacked, asbytes=True))

    def put(self, key: str, data: bytes) -> None:
        """Keep an answer. It survives the process from here on; a power cut may cost it, which its digest will show."""
        packed = bytes(self._codec.compress(data, asbytes=True))
        with self._lock, refusals(self.place):
            if self._file != CLOSED:  # else it comes too late: the job has ended
                self._add(_digest(key.encode()), packed, len(data))  # the question itself may name somebody
                self.kept += 1

    def __enter__(self) -> Self:
        """The spool itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """After success nothing is left. After an error what was read stays, unless reading it again would only fail again."""
        stays = self.kept and (isinstance(error, PASSING) or self._was_no_answer(error))
        self._unanswered.clear()
        with self._lock:  # a request that is still under way finds it closed
            until = self._wait_out(error) if stays and isinstance(error, RateLimited) else None
            os.close(self._file)
            self._file = CLOSED
            self._room.notify_all()
        goes_on = GOES_ON.format("within an hour" if until is None else f"until {until:%Y-%m-%dT%H:%MZ}")
        if error is None or not stays:
            self.place.unlink(missing_ok=True)
        elif isinstance(error, TallyfyFramesError):
            error.where["answers_kept"] = self.kept
            error.hint = "; ".join(filter(None, [error.hint, goes_on]))
        else:
            error.add_note(f"{self.kept} answers are kept: {goes_on}")

    def _wait_out(self, error: RateLimited) -> datetime | None:
        """Stay fresh over the wait that the API asks for; until when, or None if it says nothing.

        However often it asks: the wait counts from the last answer.
        """
        if error.retry_after_s is None:
            return None
        status = os.fstat(self._file)
        wait_s = min(time.time() + error.retry_after_s - status.st_mtime, WAIT_MAX_S)
        data = json.dumps(wait_s).encode()
        try:
            self._add(WAIT, data, len(data))
        except OSError:  # no room: an hour has to do
            return None
        finally:
            os.utime(self._file, ns=(status.st_atime_ns, status.st_mtime_ns))
        return datetime.fromtimestamp(status.st_mtime + wait_s + FRESH_S, UTC)

    def _was_no_answer(self, error: BaseException | None) -> bool:
        """Whether something else may come when the same is asked again.

        A page that contradicts what was asked may have been asked for because of what is kept: a list that was longer then. So
        that one passes only where this job got further than the one before it, or the next would stop there, too.
        """
        if not isinstance(error, TallyfyFramesError) or not error.retriable or error not in self._unanswered:
            return False
        return not isinstance(error, PaginationError) or self.kept > self.found

    def _refuse_foreign(self) -> None:
        """Something else under our name is not ours to open, follow or remove."""
        with refusals(self.place):
            try:
                status = self.place.lstat()
            except FileNotFoundError:
                return
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            hint = "remove it, or name another root"
            raise SinkError(f"{SPOOL_NAME} is no plain file of its own", path=self.place, hint=hint)

    def _begin(self, binding: Mapping[str, Any]) -> None:
        """An empty spool for these answers."""
        os.ftruncate(self._file, 0)
        self._records.clear()
        self.found = self.kept = 0
        facts = json.dumps({"binding": binding, "began_at": self.began_at.isoformat()}, sort_keys=True).encode()
        header = _digest(facts).hex().encode() + facts
        self._append(header + b"\n")
        self._chain = _digest(header)

    def _add(self, name: bytes, packed: bytes, unpacked_size: int) -> None:
        """One more record, tied to the one before it."""
        sizes = SIZES.pack(len(name), len(packed), unpacked_size)
        chain = _digest(self._chain, sizes, name, packed)
        self._append(HEAD.pack(sizes + chain, _digest(sizes + chain)) + name + packed)
        self._chain = chain

    def _append(self, record: bytes) -> None:
        """All of a record, or nothing: others are appended to it."""
        written = os.write(self._file, record)
        if written < len(record):  # the disk is full
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _take_over(self, binding: Mapping[str, Any]) -> str | None:
        """Read what is there: None if it can be used, else why not ("" if there is nothing)."""
        status = os.fstat(self._file)
        if not status.st_size:
            return ""
        header, newline, _ = os.pread(self._file, HEADER_MAX, 0).partition(b"\n")
        facts = header[2 * DIGEST_BYTES :]
        if not newline or header != _digest(facts).hex().encode() + facts:
            return "it is damaged"
        known = json.loads(facts)
        if known["binding"] != json.loads(json.dumps(binding)):
            return "it answers another question, or a snapshot was published since"
        self._chain = _digest(header)
        whole, wait_s = len(header) + 1, 0.0
        for name, offset, size, unpacked in self._scan(whole, status.st_size):
            if unpacked == DAMAGED:
                return "it is damaged"
            whole, wait_s = offset + size, 0.0  # an answer shows that the wait before it is over
            if name == WAIT:
                wait_s = min(json.loads(os.pread(self._file, size, offset)), WAIT_MAX_S)
            else:
                self._records.setdefault(name, deque()).append((offset, size, unpacked))
                self.found += 1
        if not -FRESH_S <= time.time() - status.st_mtime <= FRESH_S + wait_s:  # a time yet to come is no sign of freshness
            return "it is more than an hour old"
        if whole < status.st_size:  # the record that was being written when the job died
            os.ftruncate(self._file, whole)
            os.utime(self._file, ns=(status.st_atime_ns, status.st_mtime_ns))  # answers do not get fresher by it
        self.began_at, self.kept = datetime.fromisoformat(known["began_at"]), self.found
        return None

    def _scan(self, offset: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
        """Key, place, size and unpacked size of every whole record, until one that is ``DAMAGED``."""
        while offset + HEAD.size <= end:
            facts, check = HEAD.unpack(os.pread(self._file, HEAD.size, offset))
            name_size, size, unpacked = SIZES.unpack_from(facts)
            offset += HEAD.size
            if _digest(facts) != check:
                yield b"", offset, 0, DAMAGED
                return
            if offset + name_size + size > end:
                return
            body = os.pread(self._file, name_size + size, offset)
            name, packed = body[:name_size], body[name_size:]
            offset += name_size
            self._chain = _digest(self._chain, facts[: SIZES.size], name, packed)
            yield name, offset, size, unpacked if self._chain == facts[SIZES.size :] else DAMAGED
            offset += size


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()
