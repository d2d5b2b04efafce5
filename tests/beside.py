"""Programs of others, which tests run beside ours: each in an environment of its own, made by ``make test-services``.

There a test that skips has failed: REQUIRE_ALL=1 says that everything it needs was to be there. Elsewhere it says what it lacks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

OTHERS = Path(__file__).parents[1] / ".services"


def there(program: str, folder: str | None = None) -> str:
    """Where a program is: in a folder of .services/, or on the PATH. Skips if it is not."""
    path = str(OTHERS / folder) if folder else f"{os.environ['PATH']}:/usr/sbin:/sbin"
    found = shutil.which(program, path=path)
    if found is None:
        pytest.skip(f"{program} is not here; make test-services brings it where it may")
    return found


def yaml(text: str) -> Any:
    """What a YAML text says; the reader is that of check-jsonschema."""
    code = "import json, sys; from ruamel.yaml import YAML; json.dump(YAML(typ='safe').load(sys.stdin), sys.stdout)"
    read = subprocess.run([there("python", "lint/bin"), "-c", code], input=text, capture_output=True, text=True, check=True)
    return json.loads(read.stdout)


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket that is empty, and how to reach it."""

    name: str
    endpoint: str

    @property
    def root(self) -> str:
        """A place in it for snapshots."""
        return f"s3://{self.name}/lake"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to know."""
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "nobody-may-see-this",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
        }

    def objects(self) -> list[str]:
        """The names of all objects (of a bucket that holds no more than a thousand)."""
        listed = httpx.get(f"{self.endpoint}/{self.name}", params={"list-type": "2"}, trust_env=False).raise_for_status().text
        return re.findall(r"<Key>(.*?)</Key>", listed)
