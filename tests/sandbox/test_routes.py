"""Routes besides that of runs: what each is documented, or was seen, to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oracle import answers_of_run, expected_activity, next_task_of, visible_tasks

from tallyfy_frames.sandbox import Sandbox, World
from tallyfy_frames.sandbox.includes import INCLUDES, Includes
from tallyfy_frames.sandbox.routes import Refused, Routes
from tallyfy_frames.sandbox.wire import Wire


def ask(world: World, *quirks: str, plain: bool = False) -> Callable[..., Any]:
    """What a path, within the organization, answers to a query."""
    routes = Routes(world, Wire(world, quirks, plain=plain), quirks, lambda: "http://sandbox/api")
    return lambda path, **query: routes.answer(
        ["organizations", world.org_id, *path.split("/")], {name.rstrip("_"): str(value) for name, value in query.items()}
    )


def refusal(call: Callable[[], Any]) -> int:
    with pytest.raises(Refused) as caught:
        call()
    return caught.value.status


def within(value: Any) -> Any:
    """An include without its wrapper; nothing is an empty list."""
    if isinstance(value, dict) and "data" in value and value.keys() <= {"data", "meta"}:
        value = value["data"]
    return [] if value is None else value


def meta(answer: Any) -> Any:
    return answer["meta"]["pagination"]


# Steps.


@pytest.mark.parametrize("query", [{}, {"per_page": 100}, {"without_pagination": "true"}, {"per_page": 3}])
def test_steps_come_ten_a_page_whatever_is_asked(query: dict[str, Any]) -> None:
    world = World(1, 1)
    longest = world.templates[2]
    answers = [ask(world)(f"checklists/{longest.id}/steps", page=page, **query) for page in (1, 2, 3, 4)]
    assert [len(answer["data"]) for answer in answers] == [10, 10, 3, 0]
    assert {meta(answer)["total"] for answer in answers} == {23} == {longest.steps_count}
    assert [step["id"] for answer in answers for step in answer["data"]] == [step.id for step in longest.steps]


def test_an_archived_template_is_not_found_but_its_steps_come_with_the_list() -> None:
    world = World(1, 1)
    archived = next(template for template in world.templates if template.archived_at)
    for path in (f"checklists/{archived.id}", f"checklists/{archived.id}/steps", "checklists/none", "checklists/none/steps"):
        assert refusal(lambda path=path: ask(world)(path)) == 404  # type: ignore[misc]
    (row,) = ask(world)("checklists", archived="only", with_="steps")["data"]
    assert [step["id"] for step in within(row["steps"])] == [step.id for step in archived.steps]
    assert "steps" not in ask(world)("checklists", archived="only")["data"][0]


def test_a_template_alone_is_as_in_its_list() -> None:
    world = World(1, 30)
    for row in ask(world)("checklists")["data"]:
        assert ask(world)(f"checklists/{row['id']}")["data"] == row
        assert row["steps_count"] == meta(ask(world)(f"checklists/{row['id']}/steps"))["total"]


def test_small_objects_of_a_step_are_objects_null_or_empty_lists() -> None:
    world = World(3, 1)
    steps = [step for template in world.templates for step in template.steps]
    rows = [
        row
        for template in world.templates
        for row in within(ask(world)("checklists", archived="true", with_="steps", q=template.title)["data"][0].get("steps"))
    ]
    assert len(rows) == len(steps)
    for name in ("start_date", "deadline", "bp_to_launch"):
        assert {str(type(row[name]).__name__) for row in rows} == {"dict", "NoneType", "list"}
    anchors = {step.deadline.step for step in steps if step.deadline}
    assert {"start_run", None} < anchors


# The activity feed.


def test_the_feed_is_newest_first_and_twenty_a_page() -> None:
    world = World(1, 60)
    feed = ask(world, plain=True)
    answer = feed("activity-feeds")
    assert (len(answer["data"]), meta(answer)["per_page"], meta(answer)["total"]) == (20, 20, len(world.activity))
    assert len(feed("activity-feeds", per_page=500)["data"]) == 100
    stamps = [row["created_at"] for row in feed("activity-feeds", per_page=100, sort="created_at")["data"]]
    assert stamps == sorted(stamps, reverse=True), "sort has no documented values"
    assert len({entry.id for entry in world.activity}) == len(world.activity)


def test_values_of_the_feed_are_wrapped_in_arrays_and_classes_have_backslashes() -> None:
    row = next(row for row in ask(World(1, 60), plain=True)("activity-feeds", per_page=100)["data"] if row["type"] == ["task"])
    assert (row["verb"], row["auditable_type"], row["parentable_type"]) == (
        ["completed"],
        "App\\Models\\Task",
        "App\\Models\\Run",
    )
    assert all(isinstance(row[name], list) for name in ("verb", "source", "actor_type", "actor_id", "type", "description"))
    assert row["actor"][0].keys() == {"full_name", "email", "profile_pic"}
    assert row["audit"].keys() == {"data"}


def test_values_of_the_feed_are_now_and_then_bare() -> None:
    rows = ask(World(1, 60))("activity-feeds", per_page=100)["data"]
    assert {type(row["verb"]) for row in rows} == {list, str}
    assert {type(row["verb"]) for row in ask(World(1, 60), "activity-scalars")("activity-feeds")["data"]} == {str}


def test_the_feed_says_what_the_world_does() -> None:
    world = World(2, 40)
    facts = {entry.id: expected_activity(entry, world.org_id) for entry in world.activity}
    first = lambda value: value[0] if isinstance(value, list) and value else None if value == [] else value  # noqa: E731
    for page in range(1, meta(ask(world)("activity-feeds", per_page=100))["total_pages"] + 1):
        for row in ask(world)("activity-feeds", per_page=100, page=page)["data"]:
            fact = facts.pop(int(row["id"]))
            for name in ("verb", "type", "source", "actor_type", "actor_id", "description", "field", "old_value"):
                assert first(row[name]) == fact[name], name
            assert str(row["auditable_id"]) == fact["auditable_id"]
            assert row["parentable_type"] == fact["parentable_type"]
    assert facts == {}


@pytest.mark.parametrize(
    ("query", "selects"),
    [
        ({"verb": "completed"}, lambda one: one.verb == "completed"),
        ({"type": "guest"}, lambda one: one.type == "guest"),
        ({"actor_type": "system"}, lambda one: one.actor_type == "system"),
        ({"actor_id": 5120}, lambda one: one.actor_id == 5120),
        ({"actor_email": "member0+tag@example.net"}, lambda one: one.actor_email == "member0+tag@example.net"),
        ({"source": "api"}, lambda one: one.source == "api"),
        ({"field": "name"}, lambda one: one.field == "name"),
        ({"search": "STEP 2"}, lambda one: "Step 2" in one.description),
        ({"entity_type": "App\\Models\\Tag"}, lambda one: one.subject_class == "Tag"),
        ({"created_after": "2030-05-01"}, lambda one: one.created_at.isoformat() >= "2030-05-01"),
        ({"created_before": "2030-05-01"}, lambda one: one.created_at.isoformat() < "2030-05-02"),
        (
            {"created_after": "2030-04-29", "created_before": "2030-04-29"},
            lambda one: one.created_at.isoformat().startswith("2030-04-29"),
        ),
        ({"actor": "nobody"}, lambda one: True),
    ],
)
def test_filters_of_the_feed(query: dict[str, Any], selects: Any) -> None:
    world = World(1, 60)
    wanted = sum(map(selects, world.activity))
    assert meta(ask(world)("activity-feeds", **query))["total"] == wanted > 0


def test_the_feed_of_a_run_has_its_tasks() -> None:
    world = World(1, 60)
    run = next(run for run in world.runs if run.completed_at and len(run.tasks) > 2)
    rows = ask(world, plain=True)("activity-feeds", entity_type="run", entity_id=run.id, per_page=100)["data"]
    assert {row["auditable_id"] for row in rows} == {run.id, *(task.id for task in run.tasks)}
    of_tasks = ask(world, plain=True)("activity-feeds", origin_type="run", origin_id=run.id, per_page=100)["data"]
    assert {row["auditable_id"] for row in of_tasks} == {task.id for task in run.tasks}


# The organization, and people.


def test_the_organization_counts_its_active_members_and_says_when_it_works() -> None:
    world = World(1, 1)
    (row,) = Routes(world, Wire(world), (), str).answer(["me", "organizations"], {})["data"]  # type: ignore[index]
    assert Routes(world, Wire(world), (), str).answer(["organizations", world.org_id], {}) == {"data": row}
    assert row["users_count"] == sum(user.active for user in world.users) < len(world.users)
    assert row["working_days"]["Monday"] == {"enabled": True, "start": "09:00", "end": "17:30"}
    off = [World(seed, 0) for seed in range(20)]
    sundays = [Wire(one).organization(one.organization)["working_days"].get("Sunday", "absent") for one in off]
    assert {str(sunday) for sunday in sundays} == {"None", "absent", "{'enabled': False, 'start': None, 'end': None}"}


def test_a_member_alone_is_for_administrators() -> None:
    world = World(1, 1)
    assert ask(world)("users/5122")["data"] == ask(world)("users")["data"][2]
    assert refusal(lambda: ask(world)("users/1")) == 404
    assert refusal(lambda: ask(world, "not-admin")("users/5122")) == 403
    assert len(ask(world, "not-admin")("users")["data"]) == 23


def test_tasks_of_a_person_are_the_active_ones_unless_all_are_asked_for() -> None:
    world = World(1, 200)
    mine = [one for one in world.tasks if world.me.id in one.task.users and (one.run is None or one.run.archived_at is None)]
    active = [one for one in mine if one.task.status in ("active", "in-progress")]
    for path in ("me/tasks", "users/5120/tasks"):
        assert meta(ask(world)(path))["total"] == len(active) < len(mine)
        assert meta(ask(world)(path, status="all"))["total"] == len(mine)
        assert len(ask(world)(path, status="all", per_page=100)["data"]) == min(100, len(mine))


def test_tasks_of_a_guest_come_ten_a_page_to_who_has_the_code() -> None:
    world = World(1, 200)
    guest = next(guest for guest in world.guests if guest.email == "pat+1@example.net")
    answer = ask(world)(f"guests/{guest.code}/tasks", status="all", per_page=100)
    total = meta(answer)["total"]
    assert (len(answer["data"]), meta(answer)["per_page"], meta(answer)["total_pages"]) == (10, 10, -(-total // 10))
    assert total > 10
    assert refusal(lambda: ask(world)("guests/pat+1@example.net/tasks")) == 404


def test_one_task_comes_with_its_text_by_itself_or_in_its_run() -> None:
    world = World(1, 60)
    one = next(one for one in world.tasks if one.run and one.summary and one.answers)
    body = ask(world)(f"tasks/{one.task.id}")["data"]
    assert one.run is not None
    assert body == ask(world)(f"runs/{one.run.id}/tasks/{one.task.id}")["data"]
    assert body["summary"] == one.summary
    assert "summary" not in next(row for row in ask(world)("tasks", archived="true", per_page=100, q=one.task.title)["data"])
    assert refusal(lambda: ask(world)("tasks/none")) == 404


# Includes of runs.


def bodies(world: World, *quirks: str, plain: bool = False, values: bool = False) -> dict[str, dict[str, Any]]:
    includes = Includes(Wire(world, quirks, plain=plain))
    return {run.id: includes.run(run, INCLUDES, with_values=values) for run in world.runs}


def test_includes_that_are_documented_are_wrapped() -> None:
    for body in bodies(World(1, 30), plain=True).values():
        assert all(set(body[name]) == {"data"} for name in INCLUDES)
        assert isinstance(body["checklist"]["data"], dict)
        assert isinstance(body["next_task"]["data"], list)


def test_includes_come_wrapped_or_bare_and_nothing_in_many_ways() -> None:
    def shape(value: Any) -> str:
        wrapped = isinstance(value, dict) and value.keys() <= {"data", "meta"}
        inner = value["data"] if wrapped else value
        return f"{'wrapped' if wrapped else 'bare'} {'null' if inner is None else 'some' if inner else 'empty'}"

    found = bodies(World(1, 250))
    for name in ("tasks", "tags", "next_task", "ko_form_fields", "form_fields", "folders", "assets", "stages"):
        shapes = {shape(body[name]) if name in body else "absent" for body in found.values()}
        assert shapes == {"wrapped some", "bare some", "wrapped empty", "bare empty", "wrapped null", "bare null", "absent"}, (
            name
        )
    assert {shape(body["checklist"]) for body in found.values()} == {"wrapped some", "bare some"}
    for name in ("permissions", "tasks_meta"):
        assert {type(within(body[name])) for body in found.values() if name in body} == {dict, list}


def test_includes_may_never_be_wrapped() -> None:
    for body in bodies(World(1, 60), "include-bare").values():
        assert not any(isinstance(body.get(name), dict) and body[name].keys() <= {"data", "meta"} for name in INCLUDES)


def test_tasks_of_a_run_are_those_of_the_list_without_the_hidden_ones() -> None:
    world = World(1, 80)
    listed = {
        row["id"]: row for page in range(1, 9) for row in ask(world)("tasks", archived="true", per_page=100, page=page)["data"]
    }
    assert any(len(visible_tasks(run)) < len(run.tasks) for run in world.runs)
    for run_id, body in bodies(world).items():
        run = world.runs_by_id[run_id]
        assert within(body.get("tasks")) == [listed[task.id] for task in visible_tasks(run)]
        assert "summary" not in str(within(body.get("tasks")))
        due = next_task_of(run)
        assert [task["id"] for task in within(body.get("next_task"))] == ([] if due is None else [due.id])
        for task in within(body.get("next_task")):
            assert task == {
                name: listed[task["id"]][name] for name in ("id", "increment_id", "title", "alias", "owners", "deadline")
            }


def test_tasks_of_a_run_may_be_cut_at_ten() -> None:
    world = World(1, 80)
    for run_id, body in bodies(world, "include-tasks-10").items():
        visible = visible_tasks(world.runs_by_id[run_id])
        assert [task["id"] for task in within(body.get("tasks"))] == [task.id for task in visible[:10]]
    assert any(len(visible_tasks(run)) > 10 for run in world.runs)


def test_tags_of_a_run_are_associations_with_numbers_of_their_own() -> None:
    world = World(1, 80)
    for run_id, body in bodies(world, plain=True).items():
        rows = body["tags"]["data"]
        assert [(row["tag_id"], row["title"], row["color"]) for row in rows] == [
            (tag.id, tag.title, tag.color) for tag in world.runs_by_id[run_id].tags
        ]
        assert all(isinstance(row["id"], int) for row in rows)
    keys = {frozenset(row) for body in bodies(world).values() for row in within(body.get("tags"))}
    assert keys == {
        frozenset({"id", "tag_id"}),
        frozenset({"id", "tag_id", "title", "color"}),
        frozenset({"id", "title", "color"}),
    }


def test_the_template_of_a_run_is_as_in_its_list() -> None:
    world = World(1, 80)
    listed = {row["id"]: row for row in ask(world)("checklists", archived="true")["data"]}
    for body in bodies(world).values():
        assert within(body["checklist"]) == listed[body["checklist_id"]]


def by_field(rows: list[dict[str, Any]]) -> dict[tuple[str | None, str], dict[str, Any]]:
    return {(row.get("task_id"), row["id"]): row for row in rows}


def test_form_fields_are_the_definitions_there_are_and_have_answers_if_they_are_asked_for() -> None:
    world = World(1, 120)
    bare, full = bodies(world), bodies(world, values=True)
    keys = set()
    for run in world.runs:
        answers = [row for row in answers_of_run(world, run) if row["defined"]]
        for name, of_tasks in (("ko_form_fields", False), ("form_fields", True)):
            wanted = by_field([row | {"id": row["field_id"]} for row in answers if (row["task_id"] is not None) == of_tasks])
            found = by_field(within(full[run.id].get(name)))
            assert found.keys() == wanted.keys() == by_field(within(bare[run.id].get(name))).keys()
            for key, row in found.items():
                fact = wanted[key]
                assert (row["alias"], row["label"], row["field_type"]) == (fact["alias"], fact["label"], fact["field_type"])
                assert row["unique_id"] is None
                assert row.get("step_id") == fact["step_id"]
                assert row.get("value", row.get("field_value")) == fact["raw"]
                assert bool(row["options"]) == (row["field_type"] in ("radio", "dropdown", "multiselect"))
                assert bool(row["columns"]) == (row["field_type"] == "table")
                keys |= {"value", "field_value"} & row.keys()
        assert not any({"value", "field_value"} & row.keys() for row in within(bare[run.id].get("form_fields")))
    assert keys == {"value", "field_value"}


def test_answers_of_form_fields_may_be_withheld_from_the_list_alone() -> None:
    world = World(1, 60)
    run = next(
        run for run in world.runs if not run.archived_at
        and any(row["given"] and row["defined"] and row["task_id"] for row in answers_of_run(world, run))
    )  # fmt: skip
    query = {"with_": "form_fields", "form_fields_values": "true"}
    (row,) = [row for row in ask(world, "form-values-ignored")("runs", per_page=100, **query)["data"] if row["id"] == run.id]
    assert not any({"value", "field_value"} & field.keys() for field in within(row["form_fields"]))
    alone = ask(world, "form-values-ignored")(f"runs/{run.id}", **query)["data"]
    assert any({"value", "field_value"} & field.keys() for field in within(alone["form_fields"]))


def test_answers_are_where_the_run_and_its_tasks_keep_them_even_if_their_field_is_gone() -> None:
    world = World(1, 120)
    gone = 0
    for run_id, body in bodies(world).items():
        rows = answers_of_run(world, world.runs_by_id[run_id])
        assert (body["prerun"] or {}) == {
            row["field_id"]: row["raw"] for row in rows if row["task_id"] is None and row["given"]
        }
        for task in within(body.get("tasks")):
            assert (task["taskdata"] or {}) == {
                row["field_id"]: row["raw"] for row in rows if row["task_id"] == task["id"] and row["given"]
            }
        gone += sum(row["given"] and not row["defined"] for row in rows)
    assert gone > 10


def test_the_forms_of_a_run_are_bare_lists_in_one_object() -> None:
    world = World(1, 60)
    run = next(run for run in world.runs if run.prerun and any(one.taskdata for one in world.tasks_of(run)))
    body = ask(world)(f"runs/{run.id}/form-fields")["data"]
    rows = [row for row in answers_of_run(world, run) if row["defined"]]
    assert {row["id"] for row in body["ko_form_fields"]} == {row["field_id"] for row in rows if row["task_id"] is None}
    assert by_field(body["form_fields"]).keys() == {(row["task_id"], row["field_id"]) for row in rows if row["task_id"]}
    alone = ask(world)(f"runs/{run.id}/tasks", with_="form_fields", per_page=100)["data"]
    of_tasks = [field for task in alone for field in within(task.get("form_fields"))]
    assert by_field(of_tasks).keys() == by_field(body["form_fields"]).keys()


# Lists within another record.


def test_pages_of_steps_and_tasks_are_list_requests_too() -> None:
    with Sandbox(World(1, 5)) as sandbox:
        org = ["organizations", sandbox.org_id]
        for path, counted in (
            ([*org, "runs"], True),
            ([*org, "activity-feeds"], True),
            ([*org, "checklists", sandbox.world.templates[0].id, "steps"], True),
            ([*org, "runs", sandbox.world.runs[0].id, "tasks"], True),
            ([*org, "me", "tasks"], True),
            ([*org, "runs", sandbox.world.runs[0].id], False),
            ([*org, "me"], False),
            (org, False),
        ):
            entry = sandbox.log("/".join(path), {}, {})
            sandbox.look(path, {}, entry, "")
            assert (entry.list_request > 0) is counted, path
