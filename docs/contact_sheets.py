"""Draw the README's pictures: one contact sheet a generated category, and one of all four.

python docs/contact_sheets.py
"""

from pathlib import Path

import matplotlib.pyplot as plt

from hw3lib import plots
from hw3lib.data import get, load_table
from hw3lib.data.synthetic import PRODUCTS

HERE = Path(__file__).parent


def main() -> None:
    figure, grid = plt.subplots(2, len(PRODUCTS), figsize=(2.3 * len(PRODUCTS), 4.7), layout="constrained")
    for (above, below), name in zip(grid.T, PRODUCTS, strict=True):
        table = load_table(get(f"synthetic/{name}", progress=False), f"synthetic/{name}")
        sheet = plots.samples(table, columns=6)
        sheet.savefig(HERE / f"{name}.png", dpi=70, pil_kwargs={"optimize": True})
        plt.close(sheet)
        plots.draw_image(above, table[table["defect"] == "good"].iloc[0], 256)
        defects = table[table["is_defect"]]
        plots.draw_image(below, defects.iloc[len(defects) // 2], 256)
        above.set_title(name)
        below.set_xlabel(defects.iloc[len(defects) // 2]["defect"].replace("_", " "))
    figure.savefig(HERE / "categories.png", dpi=80, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
