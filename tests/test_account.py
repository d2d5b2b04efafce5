"""Who we are to the API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import settings_for

import tallyfy_frames as tf
from tallyfy_frames.account import token_user
from tallyfy_frames.sandbox import Sandbox, World

Serve = Callable[..., Sandbox]


def test_the_organization_tells_its_time_zone_and_working_days(serve: Serve) -> None:
    sandbox = serve(world=World(1, 1))
    organization = tf.load_organization(settings_for(sandbox))
    assert organization["id"] == sandbox.org_id
    calendar = tf.measures.Calendar.of(organization)
    assert calendar.timezone == organization["timezone"]
    assert set(calendar.hours) <= {*organization["working_days"]}


def test_an_organization_of_others_is_not_there(serve: Serve) -> None:
    sandbox = serve(world=World(1, 1))
    with pytest.raises(tf.NotFound, match="not in this organization"):
        tf.load_organization(replace(settings_for(sandbox), org_id="0f" * 16))


def test_the_tokens_user_is_told_or_not(serve: Serve) -> None:
    sandbox = serve(world=World(1, 1))
    assert token_user(settings_for(sandbox)) == sandbox.world.me.id
    assert token_user(settings_for(serve(world=World(1, 1), quirks=["me-forbidden"]))) is None
    with pytest.raises(tf.AuthError):
        token_user(replace(settings_for(sandbox), token="another-token"))
