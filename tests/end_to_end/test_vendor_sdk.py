"""The vendor's own SDK reads the sandbox unmodified and agrees with its world: the stand-in speaks as the API does."""

from __future__ import annotations

from typing import Any

import pytest
from oracle import next_task_of, visible_tasks
from tallyfy import TallyfySDK, models

from tallyfy_frames.sandbox import Sandbox, World


def client(sandbox: Sandbox) -> Any:
    return TallyfySDK(api_key=sandbox.token, base_url=sandbox.base_url.removesuffix("/api"), max_retries=0)


def number(value: object) -> int | None:
    """An id in any of the shapes that the SDK passes on."""
    value = value["id"] if isinstance(value, dict) else value
    return None if value in (None, 0, "") else int(str(value))


@pytest.mark.parametrize("page_size", [7, 100])
def test_runs_agree(page_size: int) -> None:
    with Sandbox(World(4, 150)) as sandbox:
        sdk = client(sandbox)
        found: list[Any] = []
        for archived in (None, "only"):
            page = 1
            while True:
                answer = sdk.get_organization_runs(
                    sandbox.org_id, per_page=page_size, page=page, sort="created_at", archived=archived
                )
                found += answer.data
                assert answer.meta.per_page == page_size
                if page >= answer.meta.total_pages:
                    break
                page += 1
    facts = sandbox.world.runs_by_id
    assert sorted(run.id for run in found) == sorted(facts)
    for run in found:
        fact = facts[run.id]
        assert (run.name, run.status, run.summary, run.checklist_id) == (fact.name, fact.status, fact.summary, fact.template.id)
        assert number(run.increment_id) == fact.increment_id
        assert (number(run.owner_id), number(run.started_by)) == (fact.owner_id, fact.started_by)
        assert [number(user) for user in run.collaborators] == list(fact.collaborators)
        if fact.progress is None:
            assert run.progress is None
        else:
            assert (number(run.progress.complete) or 0, run.progress.total) == (fact.progress.complete, fact.progress.total)
            assert run.progress.percent == fact.progress.percent
        assert (run.prerun or {}) == fact.prerun


def test_includes_agree() -> None:
    with Sandbox(World(4, 60)) as sandbox:
        answer = client(sandbox).get_organization_runs(sandbox.org_id, per_page=100, with_data="tasks,tags,next_task")
    for run in answer.data:
        fact = sandbox.world.runs_by_id[run.id]
        assert [tag.get("tag_id", tag["id"]) for tag in models._include_list(run.tags)] == [tag.id for tag in fact.tags]  # noqa: SLF001
        found = [models.Task.from_dict(task) for task in models._include_list(run.extra.get("tasks"))]  # noqa: SLF001
        assert [(task.id, task.title, task.status, task.summary) for task in found] == [
            (task.id, task.title, task.status, None) for task in visible_tasks(fact)
        ]
        due = [task["id"] for task in models._include_list(run.extra.get("next_task"))]  # noqa: SLF001
        assert due == [task.id for task in [next_task_of(fact)] if task]


@pytest.mark.parametrize(
    ("asked", "selects"),
    [
        ({"status": "complete"}, lambda run: run.status == "complete"),
        ({"starred": True}, lambda run: run.starred),
        ({"run_type": "form"}, lambda run: run.type == "form"),
        ({"task_status": "completed"}, lambda run: any(task.status == "completed" for task in run.tasks)),
    ],
)
def test_filters_agree(asked: dict[str, Any], selects: Any) -> None:
    with Sandbox(World(4, 90)) as sandbox:
        answer = client(sandbox).get_organization_runs(sandbox.org_id, per_page=100, **asked)
    wanted = {run.id for run in sandbox.world.runs if selects(run) and run.archived_at is None}
    assert {run.id for run in answer.data} == wanted


def test_users_agree() -> None:
    with Sandbox(World(4, 1)) as sandbox:
        answer = client(sandbox).get_organization_users(sandbox.org_id)
    facts = {user.id: user for user in sandbox.world.users}
    assert {number(user.id) for user in answer.data} == set(facts)
    for user in answer.data:
        fact = facts[int(user.id)]
        assert (user.email, user.username, user.full_name, user.role) == (fact.email, fact.username, fact.full_name, fact.role)
        assert (user.first_name, user.last_name, user.status) == (fact.first_name, fact.last_name, fact.status)
        assert number(user.country.id if user.country else None) == fact.country_id


def test_tasks_agree() -> None:
    with Sandbox(World(4, 20)) as sandbox:
        sdk, world = client(sandbox), sandbox.world
        found = {run.id: sdk.get_tasks_for_process(sandbox.org_id, run.id, with_="summary").data for run in world.runs}
        by_default = sandbox.routes.answer(["organizations", sandbox.org_id, "runs", world.runs[0].id, "tasks"], {})
    facts = {one.task.id: one for one in world.tasks if one.run is not None}
    assert sorted(task.id for tasks in found.values() for task in tasks) == sorted(facts)
    assert by_default["meta"]["pagination"]["per_page"] == 10
    for run in world.runs:
        assert [number(task.position) for task in found[run.id]] == [task.position for task in run.tasks]
        for task in found[run.id]:
            fact = facts[task.id]
            assert (task.title, task.status, task.run_id) == (fact.task.title, fact.task.status, run.id)
            assert (number(task.starter_id), number(task.completer_id)) == (fact.starter_id, fact.completer_id)
            owners = [] if task.owners is None else [number(user) for user in task.owners.users or ()]
            assert owners == list(fact.task.users)


def test_tags_agree() -> None:
    with Sandbox(World(4, 1)) as sandbox:
        sdk = client(sandbox)
        found = sdk.get_tags(sandbox.org_id, per_page=3) + sdk.get_tags(sandbox.org_id, auto_generated=True)
    facts = {tag.id: tag for tag in (*sandbox.world.tags, *sandbox.world.auto_tags)}
    assert sorted(tag.id for tag in found) == sorted(facts)
    for tag in found:
        assert (tag.title, tag.color) == (facts[tag.id].title, facts[tag.id].color)


def test_groups_agree() -> None:
    with Sandbox(World(4, 1)) as sandbox:
        found = client(sandbox).get_groups(sandbox.org_id, per_page=2)
    facts = {group.id: group for group in sandbox.world.groups}
    assert sorted(group.id for group in found) == sorted(facts)
    for group in found:
        fact = facts[group.id]
        assert (group.name, group.description, tuple(group.guests)) == (fact.title, fact.description, fact.guests)
        assert [number(member) for member in group.members] == list(fact.members)


@pytest.mark.parametrize("kind", ["run", "checklist"])
def test_folders_agree(kind: str) -> None:
    with Sandbox(World(4, 20)) as sandbox:
        found = client(sandbox).get_folders(sandbox.org_id, folder_type=kind)
    facts = {folder.id: folder for folder in (*sandbox.world.folders, *sandbox.world.template_folders) if folder.kind == kind}
    assert sorted(folder.id for folder in found) == sorted(facts)
    for folder in found:
        fact = facts[folder.id]
        assert (folder.name, folder.parent_id, folder.position) == (fact.title, fact.parent_id, fact.position)
        assert number(folder.total) or sum(run.folder == fact for run in sandbox.world.runs) == 0


def test_guests_agree() -> None:
    with Sandbox(World(4, 1), plain=True) as sandbox:  # the SDK does not look into details for names
        found = client(sandbox).get_organization_guests(sandbox.org_id).data
    facts = {guest.email: guest for guest in sandbox.world.guests}
    assert sorted(guest.email for guest in found) == sorted(facts)
    for guest in found:
        fact = facts[guest.email]
        assert (guest.first_name, guest.last_name, guest.guest_id) == (fact.first_name, fact.last_name, fact.code)


def test_templates_agree() -> None:
    with Sandbox(World(4, 1)) as sandbox:
        found = client(sandbox).get_all_templates(sandbox.org_id).data
    facts = {template.id: template for template in sandbox.world.templates if template.archived_at is None}
    assert sorted(template.id for template in found) == sorted(facts)
    for template in found:
        fact = facts[template.id]
        assert (template.title, number(template.owner_id)) == (fact.title, fact.owner_id)
        assert [field.id for field in template.prerun or ()] == [field.id for field in fact.fields]


def test_a_wrong_token_is_refused_as_the_sdk_expects() -> None:
    with Sandbox(World(4, 1)) as sandbox:
        sdk = TallyfySDK(api_key="wrong", base_url=sandbox.base_url.removesuffix("/api"), max_retries=0)
        with pytest.raises(Exception, match="401"):
            sdk.get_organization_users(sandbox.org_id)
