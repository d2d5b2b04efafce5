"""What is installed elsewhere is what is tested here, known by its hash, from whatever index there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from deployed import DEPLOY, ROOT

LOCKS = [ROOT / "requirements.lock", DEPLOY / "requirements.lock", *sorted((ROOT / "services").glob("*.lock"))]


def pins(lock: Path) -> dict[str, str]:
    """Name → version."""
    return dict(re.findall(r"^([a-z0-9.-]+)(?:\[.*?\])?==(\S+)", lock.read_text(), flags=re.MULTILINE))


def test_what_is_deployed_are_the_versions_that_are_tested() -> None:
    tested, deployed = map(pins, LOCKS[:2])
    assert "polars" in deployed
    assert deployed.items() <= tested.items()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_a_lock_names_hashes_and_no_index(lock: Path) -> None:
    entries = re.split(r"^(?=[a-z0-9])", lock.read_text(), flags=re.MULTILINE)[1:]
    assert {*pins(lock)} == {re.split(r"[\[=]", entry)[0] for entry in entries}, "each is pinned"
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in lock.read_text()


@pytest.mark.parametrize("wish", sorted((ROOT / "services").glob("*.in")), ids=lambda wish: wish.name)
def test_a_lock_holds_what_was_wished_for(wish: Path) -> None:
    names = {found[0] for line in wish.read_text().splitlines() if (found := re.match(r"[a-z0-9-]+", line))}
    assert names
    assert names <= {*pins(wish.with_suffix(".lock"))}
