"""Templates: what runs are launched from; the API calls them checklists. Source: Tallyfy API docs, the vendor's SDK 3.1.0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import polars as pl

from tallyfy_frames.tables._filters import Filters, Listing, one_of, parameter, with_archived
from tallyfy_frames.tables._table import Rows, Table, column


@dataclass(frozen=True, kw_only=True)
class TemplateFilters(Filters):
    """Which templates."""

    snapshot_defaults: ClassVar[Mapping[str, str]] = {"archived": "include"}  # old runs point to archived ones

    q: str | None = parameter("text to find in the title", personal=True)
    status: str | None = parameter("a state; its words are not documented")
    type: str | None = parameter("procedure, form, document")
    starred: bool | None = parameter("only templates that are starred, or that are not")
    folder: str | None = parameter("a folder's id, as the API gives it")
    tag: str | None = parameter("one tag's id")
    owner_id: str | None = parameter("user id of the owner")
    archived: str | None = parameter("'only' or 'include'; without it the API hides archived templates")

    def __post_init__(self) -> None:
        """Refuse what sources disagree on."""
        super().__post_init__()
        one_of("archived", self.archived, ("only", "include"))

    def listings(self) -> tuple[Listing, ...]:
        """The default list, and, if asked for, that of the archived ones."""
        params = {name: value for name, value in self.given().items() if name != "archived"}
        signs: dict[str, pl.Expr] = {name: pl.col(name).ne(params[name]) for name in ("type", "starred") if name in params}
        return with_archived(Listing(params, signs), self.archived)


class Templates(Rows):
    """One row per template."""

    id: pl.String = column("id", about="The template's id: checklist_id elsewhere", reads="id", nullable=False, unique=True)
    increment_id: pl.Int64 = column("increment_id", about="Running number, as the app shows it", ge=0)
    title: pl.String = column("title", about="Its title")
    type: pl.String = column("type", about="What it is", words=("procedure", "form", "document"))
    status: pl.String = column("status", about="State when this was read", words=("active", "draft", "archived"))
    summary: pl.String = column("summary", about="Description, maybe HTML")
    guidance: pl.String = column("guidance", about="Help for whoever launches it, maybe HTML")
    icon: pl.String = column("icon", about="Name of its picture")
    alias: pl.String = column("alias", about="Name in formulas")
    explanation_video: pl.String = column("explanation_video", about="Address of a film that explains it")
    webhook: pl.String = column("webhook", about="Masked: an address that is called when it is launched", reads="secret")
    public_cover: pl.String = column("public_cover", about="Masked: the picture of its public page", reads="secret")
    owner_id: pl.Int64 = column("owner_id", about="User id of its owner", reads="user_id", ge=1)
    created_by: pl.Int64 = column("created_by", about="User id of who made it", reads="user_id", ge=1)
    last_updated_by: pl.String = column(
        "last_updated_by",
        about="Who changed it last; id or name, sources disagree",
        reads="id",
        personal=True,
    )
    started_processes: pl.Int64 = column(
        "started_processes", about="Runs launched from it, when this was read", kind="volatile", unit="runs", ge=0
    )
    steps_count: pl.Int64 = column("steps_count", about="Its steps", unit="steps", ge=0)
    prerun: pl.String = column(
        "prerun", about="Fields of the kick-off form: JSON list; on runs a map", reads="json_list", personal=True
    )
    automated_actions: pl.String = column("automated_actions", about="Its rules: JSON list", reads="json_list", personal=True)
    linked_tasks: pl.String = column("linked_tasks", about="Tasks linked to it: JSON", reads="json_list", personal=True)
    custom_fields: pl.String = column(
        "custom_fields", about="The organization's own properties: JSON object", reads="json", personal=True
    )
    industry_tags: pl.String = column("industry_tags", about="Industries: JSON list", reads="json_list")
    topic_tags: pl.String = column("topic_tags", about="Topics: JSON list", reads="json_list")
    kickoff_title: pl.String = column("kickoff_title", about="Title of the kick-off form")
    kickoff_description: pl.String = column("kickoff_description", about="What stands above it, maybe HTML")
    kickoff_sharing_user_id: pl.Int64 = column(
        "kickoff_sharing_user_id", about="User id in whose name the public form launches", reads="user_id", ge=1
    )
    ko_form_blueprint_id: pl.String = column("ko_form_blueprint_id", about="A template that serves as its form", reads="id")
    default_process_name_format: pl.String = column("default_process_name_format", about="How runs are named")
    default_folder: pl.String = column("default_folder", about="The folder that runs go to", reads="id", refers="folders.id")
    folder_id: pl.String = column("folder_id", about="The folder it lies in", reads="id", refers="folders.id")
    starred: pl.Boolean = column("starred", about="Starred by the token's user")
    is_public: pl.Boolean = column("is_public", about="Whether everybody can see it")
    is_featured: pl.Boolean = column("is_featured", about="As the vendor's SDK has it; undocumented")
    is_public_kickoff: pl.Boolean = column("is_public_kickoff", about="Whether everybody can launch it")
    is_published_state: pl.Boolean = column("is_published_state", about="Published, or a draft")
    is_pinned: pl.Boolean = column("is_pinned", about="Pinned by the token's user")
    dual_version_enabled: pl.Boolean = column("dual_version_enabled", about="A draft is kept beside the published version")
    auto_naming: pl.Boolean = column("auto_naming", about="Runs are named by the format")
    folderize_process: pl.Boolean = column("folderize_process", about="Runs go to the default folder")
    tag_process: pl.Boolean = column("tag_process", about="Runs get its tags")
    allow_launcher_change_name: pl.Boolean = column("allow_launcher_change_name", about="Whoever launches may name the run")
    folder_changeable_by_launcher: pl.Boolean = column(
        "folder_changeable_by_launcher", about="Whoever launches may choose its folder"
    )
    can_add_oot: pl.Boolean = column("can_add_oot", about="Whether one-off tasks may be added to runs")
    replace_state_conditionally: pl.Boolean = column("replace_state_conditionally", about="As the SDK has it; undocumented")
    users: pl.List = column("users", about="User ids of members given access", reads="user_ids", inner=pl.Int64())
    groups: pl.List = column("groups", about="Ids of groups given access", reads="ids", inner=pl.String(), refers="groups.id")

    created_at: Annotated[pl.Datetime, "us", "UTC"] = column("created_at", about="When it was made")
    last_updated: Annotated[pl.Datetime, "us", "UTC"] = column("last_updated", "updated_at", about="Last change")
    archived_at: Annotated[pl.Datetime, "us", "UTC"] = column("archived_at", about="When it was archived")


TEMPLATES = Table(
    name="templates",
    path="checklists",
    model=Templates,
    filters=TemplateFilters,
    glance=("id", "title", "type", "steps_count", "owner_id", "last_updated"),
)
