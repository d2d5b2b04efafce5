"""The benchmarks.

    python benchmarks/run.py [speed latency limits memory growth requests tasks matrix] [--quick]

Without a section: all but the matrix, which is made once and kept. Prints as it goes; writes RESULTS.md and results.json, where
sections that are not asked for keep what they had. ``--quick`` tries everything on little and writes to ``.work/``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from datetime import UTC, datetime

import report
from environments import HERE, NEEDS, ROOT, environment_of, python_of, versions
from harness import WORK, machine, say
from sections import QUICK, SECTIONS, Size, load


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join([*SECTIONS, "matrix"]))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    unknown = sorted({*options.sections} - {*SECTIONS, "matrix"})
    if unknown:
        parser.error(f"no section {', '.join(unknown)}")
    for name in NEEDS:
        python_of(name)
    WORK.mkdir(exist_ok=True)
    folder = WORK if options.quick else HERE
    place = folder / "results.json"
    results = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {"sections": {}}
    for name in options.sections or SECTIONS:
        if name == "matrix":
            command = [str(python_of("ours")), str(HERE / "matrix.py"), *(["--quick"] if options.quick else [])]
            subprocess.run(command, check=True, env=environment_of("ours"), cwd=ROOT)
            continue
        busy = load()
        section = SECTIONS[name](QUICK if options.quick else Size())
        command = f"python benchmarks/run.py {name}{' --quick' if options.quick else ''}"
        section |= {"command": command, "date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), "load": busy}
        results["sections"][name] = section
        results["sections"] = {key: results["sections"][key] for key in SECTIONS if key in results["sections"]}
        results["versions"] = {key: versions(key) for key in NEEDS}
        place.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / "RESULTS.md").write_text(report.render(results), encoding="utf-8")
        for one in section["bars"]:
            say(f"{'met   ' if one['met'] else 'MISSED'} {one['bar']}: {one['value']:.2f} {one['unit']}")


if __name__ == "__main__":
    main()
