"""Guests: people from outside who work on tasks. Source: Tallyfy API docs, "List guests", and the vendor's SDK 3.1.0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import polars as pl

from tallyfy_frames.tables._filters import Filters, parameter
from tallyfy_frames.tables._table import Rows, Table, column


@dataclass(frozen=True, kw_only=True)
class GuestFilters(Filters):
    """Which guests: the deleted ones come, too, as far as the API lists them."""

    q: str | None = parameter("text to find in name or e-mail address", personal=True)


class Guests(Rows):
    """One row per guest."""

    id: pl.String = column("id", "guest_id", about="The guest's number, as text", reads="id", nullable=False, unique=True)
    email: pl.String = column("email", about="E-mail address: what tasks and groups name the guest by", personal=True)
    first_name: pl.String = column("first_name", "details.first_name", about="First name", personal=True)
    last_name: pl.String = column("last_name", "details.last_name", about="Last name", personal=True)
    status: pl.String = column("details.status", about="State of the access", words=("active", "invited", "disabled"))
    link: pl.String = column("link", about="Masked: whoever has this address is signed in as the guest", reads="secret")
    phone_1: pl.String = column("details.phone_1", about="Telephone number", personal=True)
    phone_2: pl.String = column("details.phone_2", about="Another one", personal=True)
    timezone: pl.String = column("details.timezone", about="Time zone by name")
    company_name: pl.String = column("details.company_name", about="Company", personal=True)
    opportunity_name: pl.String = column("details.opportunity_name", about="Opportunity, from a customer system", personal=True)
    image_url: pl.String = column("details.image_url", about="Masked: there is a picture", reads="secret")
    contact_url: pl.String = column("details.contact_url", about="Masked: an address in a customer system", reads="secret")
    company_url: pl.String = column("details.company_url", about="Masked: an address in a customer system", reads="secret")
    opportunity_url: pl.String = column("details.opportunity_url", about="Masked: as before", reads="secret")
    external_sync_source: pl.String = column("details.external_sync_source", about="The customer system")
    last_known_ip: pl.String = column("last_known_ip", about="Address last seen", personal=True)
    last_known_country: pl.String = column("last_known_country", about="Country last seen", personal=True)
    last_city: pl.String = column("details.last_city", about="City last seen", personal=True)
    last_country: pl.String = column("details.last_country", about="Country last seen, by another route", personal=True)

    created_at: Annotated[pl.Datetime, "us", "UTC"] = column("created_at", about="When the guest was first invited")
    last_accessed_at: Annotated[pl.Datetime, "us", "UTC"] = column(
        "last_accessed_at", "details.last_accessed_at", about="Last use"
    )
    external_date_creation: Annotated[pl.Datetime, "us", "UTC"] = column(
        "details.external_date_creation", about="When the customer system made the contact"
    )
    disabled_at: Annotated[pl.Datetime, "us", "UTC"] = column(
        "details.disabled_at", "details.disabled_on", about="When access was taken away"
    )
    disabled_by: pl.Int64 = column("details.disabled_by", about="User id of who did that", reads="user_id", ge=1)
    reactivated_at: Annotated[pl.Datetime, "us", "UTC"] = column("details.reactivated_at", about="When it was given back")
    reactivated_by: pl.Int64 = column("details.reactivated_by", about="User id of who did that", reads="user_id", ge=1)
    cadence_days: pl.Int64 = column("details.cadence_days", about="Between reminders", unit="days", ge=0)
    deleted_at: Annotated[pl.Datetime, "us", "UTC"] = column("deleted_at", about="When the guest was deleted")


GUESTS = Table(
    name="guests",
    path="guests",
    model=Guests,
    filters=GuestFilters,
    glance=("id", "email", "first_name", "last_name", "status", "last_accessed_at"),
)
