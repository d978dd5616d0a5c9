"""``hw3 start``."""

from typing import Annotated

from hw3lib.cli.options import Language, command, option, say


@command(
    "Copy the exercise notebooks into a folder of your own. What is there already is never overwritten.",
    "hw3 start my-course",
    "hw3 start my-course --language zh-TW",
)
def start(folder: Annotated[str, option("made if it is not there", metavar="DIR")], *, language: Language = "") -> int:
    from hw3lib.course import exercises

    made, kept = exercises.start(folder, language)
    for path in made:
        print(path)
    for path in kept:
        say(f"{path}: was there, left as it is")
    say(f"Open them: jupyter lab {folder}")
    return 0
