"""Draw the README's pictures: one contact sheet a generated category, and one of all four.

python docs/contact_sheets.py
"""

import io
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

from hw3lib.data import get, load_table
from hw3lib.data.synthetic import PRODUCTS
from hw3lib.views.plots import dataset as plots

HERE = Path(__file__).parent


def main() -> None:
    figure, grid = plt.subplots(2, len(PRODUCTS), figsize=(2.3 * len(PRODUCTS), 4.7), layout="constrained")
    for (above, below), name in zip(grid.T, PRODUCTS, strict=True):
        table = load_table(get(f"synthetic/{name}", progress=False), f"synthetic/{name}")
        sheet = plots.samples(table, columns=6)
        save(sheet, name, 70)
        plots.draw_image(above, table[table["defect"] == "good"].iloc[0], size=256)
        defects = table[table["is_defect"]]
        shown = defects.iloc[len(defects) // 2]
        plots.draw_image(below, shown, shown["mask"], 256)
        above.set_title(name)
        below.set_xlabel(shown["defect"].replace("_", " "))
    save(figure, "categories", 80)


def save(figure: plt.Figure, name: str, dpi: int) -> None:
    """A palette of 256 colours makes the noisy photographs three times smaller and shows no difference here."""
    file = io.BytesIO()
    figure.savefig(file, dpi=dpi)
    plt.close(figure)
    Image.open(file).convert("RGB").quantize(256, kmeans=2).save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
