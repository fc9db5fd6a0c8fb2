"""Look every name of the list of sources up in a clone of Xen, and keep what is found beside the tests.

Run as a program with the path of the clone (`python -m tests.manual.look_up PATH`) after a citation was added: it writes
tests/data/sources.json, {path: {name: {version: "defined", "used" or "absent"}}}. Only names and paths are kept.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from pagingviz.manual import sources

INDEX = Path(__file__).parents[1] / "data/sources.json"
REVISIONS = {"4.17": "01140da4e8", "master": "c447b7308b"}  # the commits that sources.md names


def of_xen():
    """The sources that are files of Xen."""
    return [source for source in sources.sources() if source.title.startswith(("xen/", "tools/", "docs/specs/"))]


def how(text, name):
    """Whether a file's text defines a name (function, macro, type, enumerator or counter), only uses it, or lacks it."""
    n = re.escape(name)
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    if re.search(rf"(?m)^[ \t]*#[ \t]*define[ \t]+{n}\b|^(?:PERFCOUNTER|PERFCOUNTER_ARRAY)\({n}\b|\}}\s*{n}\s*;", text):
        return "defined"
    if re.search(rf"(?m)^\s*(?:struct|union|enum)\s+{n}\s*\{{|^\s+{n}\s*(?:=[^=]|,\s*$)", text):
        return "defined"
    for found in re.finditer(rf"(?m)^(?:[A-Za-z_][\w \t*]*[ \t*])?{n}[ \t]*\(", text):
        ends = re.search(r"[{;]", text[found.end() :])
        if ends and ends[0] == "{":
            return "defined"
    return "used" if re.search(rf"\b{n}\b", text) else "absent"


def look_up(clone):
    """The index of all listed names."""

    def text(version, path):
        shown = subprocess.run(["git", "-C", clone, "show", f"{REVISIONS[version]}:{path}"], capture_output=True, check=False)
        return shown.stdout.decode("utf-8", "replace") if shown.returncode == 0 else None

    index = {}
    for source in of_xen():
        texts = {version: text(version, source.title) for version in REVISIONS}
        index[source.title] = {
            name: {version: "absent" if found is None else how(found, name) for version, found in texts.items()}
            for name in sorted(source.names)
        }
        index[source.title][""] = {version: "absent" if found is None else "defined" for version, found in texts.items()}
    return index


if __name__ == "__main__":
    INDEX.write_text(json.dumps(look_up(sys.argv[1]), indent=1, sort_keys=True) + "\n", "utf-8")
