"""The vendor's own SDK reads the sandbox unmodified and agrees with its world: the stand-in speaks as the API does."""

from __future__ import annotations

from typing import Any

import pytest
from oracle import answers_of_run, expected_field, expected_step, next_task_of, visible_tasks
from tallyfy import TallyfyError, TallyfySDK, models

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


def test_steps_agree() -> None:
    with Sandbox(World(4, 1)) as sandbox:
        sdk, world = client(sandbox), sandbox.world
        shown = [template for template in world.templates if template.archived_at is None]
        found = {template.id: sdk.get_template_steps(sandbox.org_id, template.id) for template in shown}
        archived = next(template for template in world.templates if template.archived_at)
        with pytest.raises(TallyfyError, match="404"):
            sdk.get_template_steps(sandbox.org_id, archived.id)
        for template in shown:
            alone = sdk.get_template(sandbox.org_id, template.id)
            assert (alone.title, alone.extra["steps_count"]) == (template.title, len(template.steps))
            whole = sdk.get_template_with_steps(sandbox.org_id, template.id)["template"]
            assert [step.id for step in whole.steps] == [step.id for step in template.steps]
            assert [field.id for field in whole.prerun] == [field.id for field in template.fields]
    assert max(len(steps) for steps in found.values()) == 23
    for template in shown:
        for step, fact in zip(found[template.id], template.steps, strict=True):
            assert step_row(step) == {name: value for name, value in expected_step(fact).items() if name in step_row(step)}
            assert [(one.id, one.field_type, one.label) for one in step.captures] == [
                (one.id, one.kind, one.label) for one in fact.fields
            ]
            assert [[option["text"] for option in one.options] for one in step.captures] == [
                [option.text for option in one.options] for one in fact.fields
            ]


def step_row(step: Any) -> dict[str, Any]:
    """What the SDK makes of a step, under our names."""
    names = ("id", "checklist_id", "title", "alias", "summary", "step_type", "guests", "roles")
    row = {name: getattr(step, name) for name in names}
    row |= {name: number(getattr(step, name)) for name in ("position",)}
    row["assignees"] = [number(user) for user in step.assignees]
    row["groups"] = [group["group_id"] if isinstance(group, dict) else group for group in step.groups]
    for name, parts in (("start_date", ("value", "unit")), ("deadline", ("value", "unit", "option", "step"))):
        for part in parts:
            value = getattr(getattr(step, name), part, None)
            row[f"{name}_{part}"] = int(value) if part == "value" and value is not None else value
    row["bp_to_launch_id"] = step.bp_to_launch.id if step.bp_to_launch else None
    return row


def test_fields_of_kickoff_forms_agree() -> None:
    with Sandbox(World(4, 1)) as sandbox:
        for template in sandbox.world.templates:
            if template.archived_at is None:
                found = client(sandbox).get_kickoff_form_fields(sandbox.org_id, template.id)
                assert found == [expected_field(field) for field in template.fields]


def test_fields_and_answers_of_a_task_agree() -> None:
    with Sandbox(World(4, 25)) as sandbox:
        sdk, world = client(sandbox), sandbox.world
        for run in world.runs:
            wanted = [row for row in answers_of_run(world, run) if row["task_id"] is not None]
            for one in world.tasks_of(run):
                task = sdk.get_task(sandbox.org_id, run.id, one.task.id, with_="form_fields")
                rows = [row for row in wanted if row["task_id"] == task.id]
                assert (task.taskdata or {}) == {row["field_id"]: row["raw"] for row in rows if row["given"]}
                found = models._include_list(task.extra.get("form_fields"))  # noqa: SLF001
                assert [(field["id"], field.get("value", field.get("field_value"))) for field in found] == [
                    (row["field_id"], row["raw"]) for row in rows if row["defined"]
                ]
                assert task.summary == one.summary


def test_tasks_of_people_agree() -> None:
    with Sandbox(World(4, 60)) as sandbox:
        sdk, world = client(sandbox), sandbox.world
        shown = [one for one in world.tasks if one.run is None or one.run.archived_at is None]
        mine = {one.task.id for one in shown if world.me.id in one.task.users}
        assert {task.id for task in sdk.get_my_tasks(sandbox.org_id).data} == mine
        assert {task.id for task in sdk.get_user_tasks(sandbox.org_id, world.me.id).data} == mine
        active = {one.task.id for one in shown if one.task.id in mine and one.task.status in ("active", "in-progress")}
        assert {task.id for task in sdk.get_my_tasks(sandbox.org_id, status="active").data} == active < mine
        guest = next(guest for guest in world.guests if guest.email == "pat+1@example.net")
        pages = [sdk.get_guest_tasks(sandbox.org_id, guest.code, page=page) for page in range(1, 5)]
    assert {task.id for page in pages for task in page.data} == {one.task.id for one in shown if guest.email in one.task.guests}
    assert {len(page.data) for page in pages[:2]} == {10}


def test_the_organization_agrees() -> None:
    with Sandbox(World(4, 1)) as sandbox:
        sdk, fact = client(sandbox), sandbox.world.organization
        found = sdk.get_organization(sandbox.org_id)
        assert [one.id for one in sdk.get_current_user_organizations().data] == [sandbox.org_id]
        assert sdk.get_user(sandbox.org_id, 5122).email == sandbox.world.users[2].email
    assert (found.id, found.name, found.timezone) == (fact.id, fact.name, fact.timezone)
    assert found.users_count == sum(user.active for user in sandbox.world.users)
    worked = {day: hours for day, hours in vars(found.working_days).items() if isinstance(hours, dict) and hours.get("enabled")}
    assert {day: (hours["start"], hours["end"]) for day, hours in worked.items()} == fact.work_hours
    after = found.auto_archive_processes_after
    assert (None if after is None else (after.value, after.unit)) == fact.auto_archive_after


def test_a_wrong_token_is_refused_as_the_sdk_expects() -> None:
    with Sandbox(World(4, 1)) as sandbox:
        sdk = TallyfySDK(api_key="wrong", base_url=sandbox.base_url.removesuffix("/api"), max_retries=0)
        with pytest.raises(Exception, match="401"):
            sdk.get_organization_users(sandbox.org_id)
