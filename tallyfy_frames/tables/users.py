"""Users: an organization's members. Source: Tallyfy API docs, "List members", and the vendor's SDK 3.1.0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import polars as pl

from tallyfy_frames.tables._filters import Filters, parameter
from tallyfy_frames.tables._table import Rows, Table, column


@dataclass(frozen=True, kw_only=True)
class UserFilters(Filters):
    """Which members. The route has no filter by state: active, invited, disabled and bot accounts all come."""

    q: str | None = parameter("text to find in name or e-mail address", personal=True)


class Users(Rows):
    """One row per member, whatever their state."""

    id: pl.Int64 = column("id", about="The member's id, as in every user column", reads="user_id", nullable=False, unique=True)
    email: pl.String = column("email", about="E-mail address", personal=True)
    username: pl.String = column("username", about="Name to sign in with", personal=True)
    first_name: pl.String = column("first_name", about="First name", personal=True)
    last_name: pl.String = column("last_name", about="Last name", personal=True)
    full_name: pl.String = column("full_name", about="Both, as the API joins them", personal=True)
    role: pl.String = column("role", about="Rights; the case of the word varies", words=("admin", "Admin", "standard", "light"))
    status: pl.String = column("status", about="State of the account", words=("active", "invited", "disabled", "bot"))
    active: pl.Boolean = column("active", "is_active", about="Whether the account is in use")
    is_suspended: pl.Boolean = column("is_suspended", about="Whether the account is suspended")
    is_default_admin: pl.Boolean = column("is_default_admin", about="Whether this is the organization's first administrator")
    is_partner: pl.Boolean = column("is_partner", about="Whether this is a partner's account")
    support_user: pl.Boolean = column("support_user", "is_support", about="Whether this is an account of Tallyfy's support")
    job_title: pl.String = column("job_title", about="Job title", personal=True)
    job_description: pl.String = column("job_description", about="Job description", personal=True)
    team: pl.String = column("team", about="Team the member is in")
    phone: pl.String = column("phone", about="Telephone number", personal=True)
    locale: pl.String = column("locale", about="Language of the app")
    timezone: pl.String = column("timezone", about="Time zone by name")
    UTC_offset: pl.String = column("UTC_offset", about="Offset of that zone, as text")
    date_format: pl.String = column("date_format", about="How the app prints dates")
    profile_pic: pl.String = column("profile_pic", about="Masked: there is a picture, and its address opens it", reads="secret")
    country_id: pl.String = column(
        "country_id", "country.id", about="The API's number of the country", reads="id", personal=True
    )
    country_name: pl.String = column("country.name", about="Country by name", personal=True)
    country_iso2: pl.String = column("country.iso2", about="Country by ISO 3166 code", personal=True)
    last_known_ip: pl.String = column("last_known_ip", about="Address last seen", personal=True)
    last_known_country: pl.String = column("last_known_country", about="Country last seen", personal=True)
    last_city: pl.String = column("last_city", about="City last seen", personal=True)
    last_country: pl.String = column("last_country", about="Country last seen, by another route", personal=True)

    created_at: Annotated[pl.Datetime, "us", "UTC"] = column("created_at", about="When the account was made")
    last_updated: Annotated[pl.Datetime, "us", "UTC"] = column("last_updated", "updated_at", about="Last change")
    last_login_at: Annotated[pl.Datetime, "us", "UTC"] = column("last_login_at", about="Last sign-in")
    last_accessed_at: Annotated[pl.Datetime, "us", "UTC"] = column("last_accessed_at", about="Last use")
    activated_at: Annotated[pl.Datetime, "us", "UTC"] = column("activated_at", about="When the account came into use")
    approved_at: Annotated[pl.Datetime, "us", "UTC"] = column("approved_at", about="When it was approved")
    disabled_at: Annotated[pl.Datetime, "us", "UTC"] = column("disabled_at", about="When it was disabled")
    reactivated_at: Annotated[pl.Datetime, "us", "UTC"] = column("reactivated_at", about="When it came into use again")
    invited_by: pl.Int64 = column("invited_by", about="User id of who invited", reads="user_id", ge=1)
    disabled_by: pl.Int64 = column("disabled_by", about="User id of who disabled", reads="user_id", ge=1)
    reactivated_by: pl.Int64 = column("reactivated_by", about="User id of who reactivated", reads="user_id", ge=1)


USERS = Table(
    name="users",
    path="users",
    model=Users,
    filters=UserFilters,
    glance=("id", "full_name", "email", "role", "status", "last_login_at"),
)
