"""Lists that the sandbox serves besides that of runs, one module each: what is in it, which parameters it knows, how it looks.

Written from the public sources alone: nothing here knows how the package reads a table.
"""

from typing import Final

from tallyfy_frames.sandbox.lists import activity, folders, groups, guests, tags, tasks, templates, users
from tallyfy_frames.sandbox.lists._list import AnyList

LISTS: Final[dict[str, AnyList]] = {
    one.LIST.path: one.LIST for one in (activity, folders, groups, guests, tags, tasks, templates, users)
}
