"""``hw3 start``."""

from typing import Annotated

from hw3lib.cli.options import CourseFile, Key, Language, Term, command, option, say


@command(
    "Copy the exercise notebooks into a folder of your own. What is there already is never overwritten.\n"
    "With --student the generated images of the folder are that student's alone; a teacher makes the folders of a\n"
    "whole roster with --course, or the exercises for nbgrader or otter with --format.",
    "hw3 start my-course",
    "hw3 start my-course --language zh-TW",
    "hw3 start my-course --student B10901234 --term 2026-autumn",
    "hw3 start class --course course.yaml",
    "hw3 start nbgrader-course --format nbgrader",
)
def start(
    folder: Annotated[str, option("made if it is not there", metavar="DIR")],
    *,
    language: Language = "",
    student: Annotated[str | None, option("whose images are to be drawn", metavar="ID")] = None,
    term: Term = None,
    key: Key = None,
    course: CourseFile = None,
    format: Annotated[
        str, option("of the notebooks (default: %(default)s)", choices=("jupyter", "nbgrader", "otter"))
    ] = "jupyter",
) -> int:
    from pathlib import Path

    from hw3lib.course import exercises, export, students
    from hw3lib.errors import Hw3Error

    said = students.read(course, term, key) or students.Course()
    if format != "jupyter":
        if student:
            raise Hw3Error(f"--student with --format {format}: these notebooks are for a whole class")
        for path in export.export(folder, format, language, said):
            print(path)
        return 0
    if not student and not said.students:
        if term or key:
            raise Hw3Error("--term and --key say whose images are drawn: give --student ID, or --course with a roster")
        return _copied(folder, exercises.start(folder, language))
    if student:
        students.enrol(folder, student, said)
        say(f"{folder}: the generated images are those of {student} in {said.term}")
        return _copied(folder, exercises.start(folder, language))
    for one in said.students.values():
        students.enrol(Path(folder) / one.id, one.id, said)
        exercises.start(Path(folder) / one.id, language)
    say(f"{len(said.students)} folders in {folder}, one a student of the roster; hand each student their own")
    return 0


def _copied(folder: str, copied: tuple[list, list]) -> int:
    for path in copied[0]:
        print(path)
    for path in copied[1]:
        say(f"{path}: was there, left as it is")
    say(f"Open them: jupyter lab {folder}")
    return 0
