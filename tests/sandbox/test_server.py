"""The stand-in: as demanding as the API, and repeatable."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from tallyfy_frames.sandbox import FAULTS, LIVE, QUIRKS, Fault, Limit, Sandbox, World
from tallyfy_frames.sandbox.includes import COUNTED, INCLUDES, Includes
from tallyfy_frames.sandbox.wire import Wire


def get(
    sandbox: Sandbox, path: str = "runs", *, base: str | None = None, drop: str = "", headers: Any = None, **query: Any
) -> httpx.Response:
    sent = {
        "Authorization": f"Bearer {sandbox.token}",
        "Accept": "application/json",
        "X-Tallyfy-Client": "APIClient",
        **(headers or {}),
    }
    sent.pop(drop, None)
    url = f"{base or sandbox.base_url}/organizations/{sandbox.org_id}/{path}"
    with httpx.Client(trust_env=False) as client:
        return client.get(url, params=query, headers=sent)


def ids(answer: httpx.Response) -> list[str]:
    return [row["id"] for row in answer.json()["data"]]


def test_the_same_seed_is_the_same_world_and_a_larger_one_only_adds() -> None:
    def rendered(world: World) -> list[str]:
        includes = Includes(Wire(world))
        names = [name for name in INCLUDES if name not in COUNTED]
        return [json.dumps(includes.run(run, names, with_values=True)) for run in world.runs]

    assert rendered(World(1, 50)) == rendered(World(1, 50))
    assert rendered(World(1, 80))[:50] == rendered(World(1, 50))
    assert rendered(World(2, 50)) != rendered(World(1, 50))


def test_the_world_is_coherent() -> None:
    world = World(1, 300)
    users = {user.id for user in world.users}
    for before, run in zip(world.runs, world.runs[1:], strict=False):
        assert before.created_at <= run.created_at <= run.last_updated
        assert {run.owner_id, run.started_by, *run.collaborators} - {None} <= users
        assert run.parent_id is None or run.parent_id in world.runs_by_id
        assert (run.completed_at is not None) == (run.status == "complete")
        assert run.progress is None or 0 <= run.progress.complete <= run.progress.total
    assert len({run.created_at for run in world.runs}) < 300, "some runs share an instant"


def test_every_header_is_demanded() -> None:
    with Sandbox(World(1, 5)) as sandbox:
        assert get(sandbox).status_code == 200
        assert get(sandbox, drop="Authorization").status_code == 401
        assert get(sandbox, drop="X-Tallyfy-Client").json()["code"] == "ENDPOINT_NOT_FOUND"
        assert "<html" in get(sandbox, headers={"Accept": "*/*"}).text
        assert get(sandbox, headers={"Authorization": f"Bearer  {sandbox.token}"}).status_code == 401


def test_both_bases_serve_the_same() -> None:
    with Sandbox(World(1, 5)) as sandbox:
        assert ids(get(sandbox)) == ids(get(sandbox, base=sandbox.base_url.removesuffix("/api")))


def test_pages_are_ten_by_default_and_a_hundred_at_most() -> None:
    with Sandbox(World(1, 300)) as sandbox:
        assert len(ids(get(sandbox))) == 10
        assert len(ids(get(sandbox, per_page=1000))) == 100
        assert ids(get(sandbox, page=99)) == []
        assert len(ids(get(sandbox, without_pagination="true"))) == sum(run.archived_at is None for run in sandbox.world.runs)
        assert "meta" not in get(sandbox, without_pagination="true").json()


def test_a_page_may_be_clamped_with_and_without_saying_so() -> None:
    for quirk, said in (("per-page-50", 50), ("per-page-50-unsaid", None)):
        with Sandbox(World(1, 150), quirks=[quirk]) as sandbox:
            answer = get(sandbox, per_page=100, archived="true")
        meta = answer.json()["meta"]["pagination"]
        assert (len(ids(answer)), meta.get("per_page"), meta["total_pages"]) == (50, said, 3)


def test_ties_may_come_in_another_order_with_each_request() -> None:
    world = World(1, 60)
    for run in world.runs[10:50]:
        run.created_at = world.runs[10].created_at
    with Sandbox(world, quirks=["ties-shuffle"]) as sandbox:
        for sort in ("created_at", "-created_at"):
            first, second = (ids(get(sandbox, per_page=100, archived="true", sort=sort)) for _ in range(2))
            assert sorted(first) == sorted(second)
            assert first != second
            assert [world.runs_by_id[key].created_at for key in first] == [world.runs_by_id[key].created_at for key in second]
        assert ids(get(sandbox, per_page=10, page=1, archived="true", sort="created_at")) == [run.id for run in world.runs[:10]]


def test_links_are_an_object_or_an_empty_list() -> None:
    with Sandbox(World(1, 30)) as sandbox:
        links = [
            get(sandbox, page=page, per_page=size).json()["meta"]["pagination"]["links"]
            for page, size in ((1, 10), (2, 10), (1, 100))
        ]
    assert list(links[0]) == ["next"]
    assert list(links[1]) == ["previous", "next"]
    assert links[2] == []
    assert "per_page" not in links[0]["next"]


def test_unknown_parameters_are_ignored_and_booleans_are_words() -> None:
    with Sandbox(World(1, 50)) as sandbox:
        every = ids(get(sandbox, per_page=100))
        assert ids(get(sandbox, per_page=100, updated_since="2099-01-01")) == every
        assert ids(get(sandbox, per_page=100, starred="True")) == every
        assert ids(get(sandbox, per_page=100, starred="true")) != every


def test_one_run_comes_alone_archived_or_not_with_its_includes() -> None:
    with Sandbox(World(1, 50), plain=True) as sandbox:
        run = next(run for run in sandbox.world.runs if run.archived_at and run.tasks)
        body = get(sandbox, f"runs/{run.id}", **{"with": ",".join(INCLUDES)}).json()["data"]
        assert body["id"] == run.id
        assert set(INCLUDES) <= body.keys()
        assert len(body["tasks"]["data"]) == sum(not task.hidden for task in run.tasks)
        assert get(sandbox, "runs/none").status_code == 404


def test_another_organization_is_forbidden_and_another_route_unknown() -> None:
    with Sandbox(World(1, 5)) as sandbox:
        assert get(sandbox, "nothing").status_code == 404
        sandbox.world.org_id = "other"
        other = get(sandbox)
        sandbox.world.org_id = "mine"
        assert other.status_code == 200
        with httpx.Client(trust_env=False) as client:
            headers = {"Authorization": f"Bearer {sandbox.token}", "Accept": "application/json", "X-Tallyfy-Client": "x"}
            assert client.get(f"{sandbox.base_url}/organizations/theirs/runs", headers=headers).status_code == 403


def test_a_limit_slides_and_refused_requests_do_not_count() -> None:
    with Sandbox(World(1, 5), limits=["3/0.4", "100/60"]) as sandbox:
        answers = [get(sandbox) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert [answer.headers["X-RateLimit-Remaining"] for answer in answers[:3]] == ["2", "1", "0"]
        assert int(answers[3].headers["Retry-After"]) >= 1
        time.sleep(0.45)
        assert get(sandbox).status_code == 200


def test_a_retry_after_date_lies_ahead() -> None:
    with Sandbox(World(1, 5), faults=["429-date@1"]) as sandbox:
        answer = get(sandbox)
    assert 0 <= parsedate_to_datetime(answer.headers["Retry-After"]).timestamp() - time.time() <= 3


def test_requests_are_logged() -> None:
    with Sandbox(World(1, 5), faults=["html-502@1"]) as sandbox:
        get(sandbox, status="active")
        (entry,) = sandbox.requests
    assert (entry.status, entry.fault, entry.query) == (502, "html-502", {"status": "active"})
    assert entry.headers["x-tallyfy-client"] == "APIClient"
    assert (entry.number, entry.list_request) == (1, 1)


@pytest.mark.parametrize(
    ("text", "strikes"),
    [("reset", [2]), ("reset@3", [3]), ("reset@2x2", [2, 3]), ("reset@3+", [3, 4, 5]), ("token-revoked", [2, 3, 4, 5])],
)
def test_a_fault_strikes_when_it_says(text: str, strikes: list[int]) -> None:
    assert [number for number in range(1, 6) if Fault.parse(text).strikes(number)] == strikes


@pytest.mark.parametrize("text", ["nonsense", "reset@", "reset@x", "reset@1x", "@2"])
def test_a_fault_that_is_none_names_those_there_are(text: str) -> None:
    with pytest.raises(ValueError, match="html-502"):
        Fault.parse(text)


def test_a_quirk_or_limit_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no quirk nonsense"):
        Sandbox(quirks=["nonsense"])
    for text in ("x", "0/5", "5/0", "5"):
        with pytest.raises(ValueError, match="COUNT/SECONDS"):
            Limit.parse(text)


def test_the_command_prints_what_a_client_needs_then_ready() -> None:
    command = [sys.executable, "-m", "tallyfy_frames", "sandbox", "--runs", "12"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline().strip() for _ in range(4)]
        try:
            given = dict(line.removeprefix("export ").split("=", 1) for line in lines[:3])
            assert list(given) == ["TALLYFY_ACCESS_TOKEN", "TALLYFY_ORG_ID", "TALLYFY_BASE_URL"]
            assert lines[3] == "ready"
            with httpx.Client(trust_env=False) as client:
                assert client.get(f"{given['TALLYFY_BASE_URL']}/me").status_code == 404
        finally:
            server.terminate()


def test_every_fault_quirk_and_change_says_what_it_is() -> None:
    assert all(len(meaning) > 10 for meaning in [*FAULTS.values(), *QUIRKS.values(), *LIVE.values()])
