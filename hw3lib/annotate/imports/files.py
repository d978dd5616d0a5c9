"""Find the image that an annotation names, in the folders that were given and nowhere else."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hw3lib.data.folders.contents import IMAGE_SUFFIXES, OTHER_PHOTOGRAPHS
from hw3lib.data.folders.names import SPLITS, is_junk, is_masks
from hw3lib.data.folders.names import key as plain
from hw3lib.errors import Hw3Error

from .drawn import Told

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_FETCHED = "at a URL, which is not fetched: download them, and name their folder by --images"
_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of an uploaded file


class NotFound(Exception):
    """No image, or not one alone, is what was named; says why."""


def files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder and of those in it, in order of their names, without hidden ones and links to folders."""
    for place, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not is_junk(name))
        yield from (Path(place, name) for name in sorted(files) if name[0] != ".")


def documents(
    source: Path, suffix: str, read: Callable[[Path], Any], fits: Callable[[Any], bool], what: str, told: Told
) -> Iterator[tuple[Path, Any]]:
    """A file, or those of a folder, that hold what a format's do; others are told of, or refused where one was named.

    Args:
        what: of whom the files are, and what was expected: ``"labelme's: a list of 'shapes'"``.
    """
    for path in [source] if source.is_file() else [p for p in files_below(source) if p.suffix.lower() == suffix]:
        if fits(content := read(path)):
            yield path, content
        elif path == source:
            raise Hw3Error(f"{path}: is not {what}")
        else:
            told.leave(f"{suffix[1:].upper()} files that are not {what.partition(':')[0]}", path.name)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _words(name: str) -> str:
    """A name's words, each between underscores, and those for the splits as one is."""
    return "".join(f"_{SPLITS.get(word, word)}" for word in re.findall(r"[^\W_]+", plain(name))) + "_"


class ImageFiles:
    """The images of one or several folders, by name.

    What lies in a folder for masks, as ``masks`` or ``ground_truth``, is an image only where an annotation names its
    path or is beside it.

    Args:
        folders: a name that leads out of them, by ``..``, from the root or through a link, is not followed.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = [Path(os.path.realpath(folder)) for folder in folders]
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        self._used: set[Path] = set()
        self._images: list[Path] = []
        self._others: list[Path] = []
        self._masks: set[Path] = set()
        for path in dict.fromkeys(path for folder in self.folders for path in files_below(folder)):
            self._by_name[_key(path.name)].append(path)
            if path.suffix.lower() in IMAGE_SUFFIXES:
                self._images.append(path)
                self._by_stem[_key(path.stem)].append(path)
                if self._is_mask(path):
                    self._masks.add(path)
            elif path.suffix.lower() in OTHER_PHOTOGRAPHS:
                self._others.append(path)

    def _is_mask(self, path: Path) -> bool:
        below = [path.relative_to(folder).parts[:-1] for folder in self.folders if path.is_relative_to(folder)]
        return all(any(map(is_masks, parts)) for parts in below)

    def _known(self, paths: list[Path], beside: Path) -> list[Path]:
        return [path for path in paths if path not in self._masks or path.parent == beside]

    def find(self, name: str, beside: Path, *, upload: bool = False, hint: str = "") -> Path:
        """The file of an image.

        Looked for are the path as it stands, from the annotation's folder and from those that were given, and then a
        file of its name anywhere in them, for annotation files name folders of the machine that they are from.

        Args:
            name: a path, with slashes or backslashes, or a URL, of which only the name counts.
            beside: folder of the annotation file.
            upload: what Label Studio puts before a name may be missing.
            hint: of several files of the name the one whose folders' names are in this is taken.

        Raises:
            NotFound: says why.
        """
        url = bool(_SCHEME.match(name))
        if url or "?" in name:
            parts = urlsplit(name)
            name = unquote(parse_qs(parts.query).get("d", [parts.path])[0])
        for path in {} if url else {name: 0, name.replace("\\", "/"): 0}:
            for folder in (beside, *self.folders):
                if not os.path.isabs(path) and (found := self._inside(folder / path)):
                    return self._use(found)
        pure = PurePosixPath(name.replace("\\", "/"))

        def alone(known: dict[str, list[Path]], pure: PurePosixPath) -> Path | None:
            return self._alone(self._known(known.get(_key(pure.name), []), beside), pure, hint)

        found = alone(self._by_name, pure)
        if not found and upload:
            short = PurePosixPath(_UPLOAD.sub("", pure.name, count=1))
            found = alone(self._by_name, short)
        if not found and not pure.suffix.lower().startswith(IMAGE_SUFFIXES):
            found = alone(self._by_stem, pure)
        if found:
            return self._use(found)
        raise NotFound(_FETCHED if url else "missing")

    def of_stem(self, stem: str, beside: Path) -> Path:
        """The image of this stem, one in ``beside`` before others.

        Raises:
            NotFound: none, or several.
        """
        known = self._known(self._by_stem.get(_key(stem), []), beside)
        found = self._alone([p for p in known if p.parent == beside] or known, PurePosixPath(stem))
        if not found:
            raise NotFound("missing")
        return self._use(found)

    def _inside(self, path: Path) -> Path | None:
        try:
            real = Path(os.path.realpath(path))
            if path.is_file() and any(real.is_relative_to(folder) for folder in self.folders):
                return Path(os.path.normpath(path)) if ".." not in path.parts else real
        except (OSError, ValueError):  # a name that no file here can have
            pass
        return None

    def _alone(self, paths: list[Path], named: PurePosixPath, hint: str = "") -> Path | None:
        """The path whose last folders are those that were named, or are in the hint, if it is one alone."""
        hinted = _words(hint)

        def agreement(path: Path) -> tuple[int, bool, int]:
            same = 0
            for ours, theirs in zip(path.parts[-2::-1], named.parts[-2::-1], strict=False):
                if _key(ours) != _key(theirs):
                    break
                same += 1
            said = [words for words in map(_words, path.parts[:-1]) if len(words) > 1 and words in hinted]
            return same, path.name == named.name, len(said)

        inside = [path for path in paths if self._inside(path)]
        if paths and not inside:
            raise NotFound("a link that leads out of the folder: name the folder that it leads to by --images")
        best = max(map(agreement, inside), default=None)
        found = [path for path in inside if agreement(path) == best]
        if len(found) > 1:
            raise NotFound(
                "several images of this name, and nothing says which: name the folder of the right ones by --images"
            )
        return found[0] if found else None

    def _use(self, path: Path) -> Path:
        self._used.add(Path(os.path.realpath(path)))
        return path

    def take(self, path: Path) -> None:
        """Count an image as one that an annotation has named."""
        self._use(path)

    def forget(self, name: str, beside: Path) -> None:
        """Count an image as named, if it is here, of which nothing is taken."""
        try:
            self.find(name, beside, upload=True)
        except NotFound:
            return

    def leave(self, folder: Path) -> None:
        """Take what is in a folder for no image: it holds masks."""
        self._images = [path for path in self._images if not path.is_relative_to(folder)]
        self._masks = {path for path in self._masks if not path.is_relative_to(folder)}
        for known in (self._by_name, self._by_stem):
            for key, paths in known.items():
                known[key] = [path for path in paths if not path.is_relative_to(folder)]

    def unused(self) -> list[Path]:
        """Images that no annotation has named, without those in folders for masks."""
        return [path for path in self._unnamed() if path not in self._masks]

    def masks(self) -> list[Path]:
        """Images in folders for masks that no annotation has named."""
        return [path for path in self._unnamed() if path in self._masks]

    def _unnamed(self) -> list[Path]:
        return [path for path in self._images if Path(os.path.realpath(path)) not in self._used and self._inside(path)]

    def others(self) -> list[Path]:
        """Photographs of kinds that a category does not hold, and that no annotation has named."""
        return [path for path in self._others if Path(os.path.realpath(path)) not in self._used]

    def all(self) -> list[Path]:
        """All images, also those in folders for masks."""
        return [path for path in self._images if self._inside(path)]
