"""Write the table of notebooks in README.md, and its thumbnails, from the executed notebooks.

python docs/notebook_table.py
"""

import base64
import io
import re
from pathlib import Path

import nbformat
from PIL import Image

from hw3lib.course.build import badges

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent / "notebooks"
README = HERE.parent / "README.md"
BEGIN, END = "<!-- notebooks: written by docs/notebook_table.py -->\n", "<!-- end of notebooks -->\n"
WIDTH = 200  # pixels of a thumbnail


def rows() -> list[tuple[Path, str, str, list[str], Image.Image]]:
    """Path, title, time, objectives and picture of every notebook."""
    found = []
    for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        first = notebook.cells[0].source
        title = re.match(r"# \d+\. (.+)", first)[1]
        time = re.search(r"^\*(.+?)\*$", first, re.M)[1]
        objectives = [
            " ".join(o.split()).rstrip(";.") for o in re.findall(r"^- (\*\*.+?)(?=^- |\Z)", first, re.M | re.S)
        ]
        found.append((path, title, time, objectives, picture(notebook, notebook.metadata["hw3lib"]["thumbnail"])))
    return found


def picture(notebook: nbformat.NotebookNode, name: str) -> Image.Image:
    """The picture that the cell with ``"name"`` shows, at the width of a thumbnail."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and f'"{name}' in cell.source:
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    image = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("RGB")
                    height = min(round(WIDTH * image.height / image.width), 2 * WIDTH // 3)
                    image = image.crop((0, 0, image.width, round(height * image.width / WIDTH)))
                    return image.resize((WIDTH, height), Image.Resampling.LANCZOS)
    raise SystemExit(f"no cell with {name!r} shows a picture")


def table() -> str:
    """The table as Markdown."""
    lines = ["| | After it you can | Time |", "|---|---|---|"]
    for path, title, time, objectives, _ in rows():
        link = f"notebooks/{path.name}"
        shown = f"[![{title}](docs/thumbnails/{path.stem[:2]}.png)]({link})<br>[{path.stem}]({link})"
        if openers := badges(Path(link)):
            shown += f"<br>{openers}"
        lines.append(f"| {shown} | {'<br>'.join(objectives)} | {time.rstrip('.')} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    (HERE / "thumbnails").mkdir(exist_ok=True)
    for path, _, _, _, image in rows():
        image.quantize(64, kmeans=2).save(HERE / "thumbnails" / f"{path.stem[:2]}.png", optimize=True)
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    README.write_text(before + BEGIN + table() + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
