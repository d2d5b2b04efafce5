"""Looks at Superset's dashboards as a person would: run by another Python, beside the tests, in headless Chromium.

Reads a JSON object from standard input: ``address``, ``user``, ``password``, ``chromium``, ``folder`` for pictures, and
``pages`` by name. Writes one to standard output: of each page what every chart asked and was answered, its text, errors, and
whether a script from the data ran.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Response, sync_playwright

FLAGS = [
    "--no-sandbox",  # root may not have one
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOLDERS = ".dashboard-component-chart-holder"
ERRORS = ".ant-alert-error"  # stands where a chart would


def look(page: Page, wanted: dict[str, Any], name: str, path: str) -> dict[str, Any]:
    """One page, once everything on it has been drawn."""
    answers: list[dict[str, Any]] = []
    alerts: list[str] = []

    def heard(response: Response) -> None:
        if "/api/v1/chart/data" in response.url and response.request.method == "POST":
            asked = json.loads(response.request.post_data or "{}")
            told = (
                response.json() if response.headers.get("content-type", "").startswith("application/json") else response.text()
            )
            answers.append({"status": response.status, "asked": asked, "told": told})

    page.on("response", heard)
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    page.goto(f"{wanted['address']}{path}")
    page.wait_for_selector(HOLDERS, timeout=60_000)
    page.wait_for_function(
        f"""() => [...document.querySelectorAll('{HOLDERS}')].every(holder =>
            holder.querySelector('.chart-container, {ERRORS}')
            && !holder.querySelector('.loading, [data-test="loading-indicator"]'))""",
        timeout=120_000,
    )
    page.wait_for_timeout(1500)  # what is drawn moves into its place
    charts = [
        {"text": holder.inner_text(), "canvas": holder.query_selector("canvas") is not None,
         "html": holder.inner_html() if holder.query_selector("table") else "",
         "error": holder.query_selector(ERRORS) is not None}
        for holder in page.query_selector_all(HOLDERS)
    ]  # fmt: skip
    bottom = (
        "() => Math.max(...[...document.querySelectorAll('.grid-container')].map(one => one.getBoundingClientRect().bottom))"
    )
    height = page.evaluate(bottom)
    page.set_viewport_size({"width": 1600, "height": int(height) + 40})
    page.wait_for_timeout(1500)
    page.screenshot(path=str(Path(wanted["folder"]) / f"{name}.png"))
    page.set_viewport_size({"width": 1600, "height": 1000})
    page.remove_listener("response", heard)
    return {"answers": answers, "charts": charts, "alerts": alerts, "ran": page.evaluate("() => window.ran ?? null")}


def main() -> None:
    """Log in, then look at every page."""
    wanted = json.load(sys.stdin)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        browser = playwright.chromium.launch_persistent_context(
            profile, executable_path=wanted["chromium"], args=FLAGS, viewport={"width": 1600, "height": 1000}
        )
        page = browser.new_page()
        page.goto(f"{wanted['address']}/login/")
        page.fill("#username", wanted["user"])
        page.fill("#password", wanted["password"])
        page.press("#password", "Enter")
        page.wait_for_url(lambda url: "/login" not in url, timeout=60_000)
        told = {name: look(page, wanted, name, path) for name, path in wanted["pages"].items()}
        browser.close()
    json.dump(told, sys.stdout)


main()
