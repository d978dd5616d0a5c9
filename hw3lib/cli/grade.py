"""``hw3 grade``."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

from hw3lib.cli.options import CourseFile, Data, Key, Term, byte_count, command, option, say

IMAGE = "hw3lib"  # as the Dockerfile says that it is built
_ROOM = 2_000_000_000  # bytes for what grades, beside the submission


@command(
    "Grade submitted exercise notebooks into one CSV file, a page a student and a leaderboard. Each runs in a process\n"
    "of its own, with limits; one that is broken does not stop the rest. Where Docker or Podman has the image\n"
    "hw3lib (docker build --tag hw3lib .) all of it runs in a container, without a network. With a term each student\n"
    "is graded on their own images, and figures of another's are found; with a course file there are points, days\n"
    "late and CSV files for Moodle and Canvas.",
    "hw3 grade submissions",
    "hw3 grade submissions --out week4.csv --timeout 120 --memory 2GB",
    "hw3 grade submissions --term 2026-autumn --course course.yaml",
    interrupted="; the submissions graded so far are in the CSV file",
)
def grade(
    folder: Annotated[str, option("holds the notebooks, in folders or not", metavar="DIR")],
    *,
    out: Annotated[str | None, option("the CSV file (default: DIR/grades.csv)", metavar="FILE")] = None,
    data: Data = None,
    timeout: Annotated[float, option("for one submission (default: %(default)s)", metavar="SECONDS")] = 300,
    memory: Annotated[
        int, option("for one submission (default: 4GB)", type=byte_count, metavar="SIZE")
    ] = 4_000_000_000,
    solutions: Annotated[bool, option("show the solution of what did not pass on the pages")] = False,
    term: Term = None,
    key: Key = None,
    course: CourseFile = None,
    container: Annotated[
        str, option("auto (default): if the image is there", choices=("auto", "always", "never"))
    ] = "auto",
) -> int:
    from hw3lib.course import grading, students
    from hw3lib.errors import Hw3Error

    said = students.read(course, term, key)
    where = Path(out) if out else Path(folder) / "grades.csv"
    runtime = None if container == "never" else shutil.which("docker") or shutil.which("podman")
    found = runtime and not subprocess.run([runtime, "image", "inspect", IMAGE], capture_output=True).returncode
    if container == "always" and not found:
        lacks = f"no image {IMAGE} in {runtime}" if runtime else "neither docker nor podman"
        build = f"{Path(runtime or 'docker').name} build --tag {IMAGE} ."
        raise Hw3Error(f"--container always: {lacks}; in the folder of the Dockerfile: {build}")
    if runtime and found and Path(folder).is_dir():
        inner = ["--timeout", f"{timeout:g}", "--memory", str(memory), *(["--solutions"] if solutions else [])]
        return _contained(runtime, Path(folder), where, inner, memory, said)
    if runtime and not found:
        say(f"graded without a container: no image {IMAGE} in {Path(runtime).name}, see the Dockerfile")
    grades = grading.grade(
        folder, out, data=data, timeout=timeout, memory=memory, solutions=solutions, course=said, echo=say
    )
    broken = sum(g.status != "ok" for g in grades)
    names = ("leaderboard.html", *(f"{name}.csv" for name in ("gradebook", "moodle", "canvas") if said))
    made = [str(path) for path in (where, where.parent / "feedback", *map(where.with_name, names)) if path.exists()]
    say(f"{len(grades)} submissions graded, {broken} of them broken: {', '.join(made)}")
    return 0


def _contained(runtime: str, folder: Path, out: Path, inner: list[str], memory: int, course: object) -> int:
    """The same command in a container, which sees the submissions, where the grades go, and seeds but not the key."""
    from hw3lib.course import students

    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hw3-course-") as place:
        mounts = [(folder, "submissions", ",readonly"), (out.parent, "out", ""), (Path(place), "course", ",readonly")]
        if isinstance(course, students.Course):
            names = {path.name for path in folder.iterdir() if path.is_dir()}
            course.sealed(Path(place), sorted(names | {path.stem for path in folder.glob("*.ipynb")}))
            os.chmod(place, 0o755)  # whoever it is in the container
            inner += ["--course", "/work/course/course.yaml"]
        limits = ["--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        limits += ["--memory", str(memory + _ROOM), "--pids-limit", "500"]
        if "podman" in Path(runtime).name:
            limits += ["--userns", "keep-id", "--security-opt", "label=disable"]
        elif sys.platform != "win32":
            limits += ["--user", f"{os.getuid()}:{os.getgid()}"]
        for path, name, mode in mounts:
            limits += ["--mount", f"type=bind,source={path.resolve()},target=/work/{name}{mode}"]
        say(f"in a container, by {Path(runtime).name}: image {IMAGE}, no network")
        command = [runtime, "run", "--rm", "--init", *limits, IMAGE, "grade", "/work/submissions"]
        command += ["--out", f"/work/out/{out.name}", "--data", "/data", "--container", "never", *inner]
        return subprocess.run(command).returncode
