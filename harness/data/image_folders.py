"""What the folders of images mean: classes, or the parts of a published split with the classes in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.findings import Finding

#: Names of folders → the part of a split that they hold.
SPLIT_PARTS = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class ImageFolderLayout:
    """How the folders are read.

    Attributes
    ----------
    depth : int
        Position of the folder in the path of an image that names its class.
    parts : dict
        Folder that is read → the part of a split that it holds; None where all are.
    test_part : str
        The part that is tested on: "test", or "validation" where there is no test part; "" where there is no split.
    notes : tuple of Finding
        What was decided.
    """

    depth: int = 0
    parts: dict[str, str] | None = None
    test_part: str = ""
    notes: tuple[Finding, ...] = ()

    def label(self, name: PurePosixPath) -> str | None:
        """Class of an image; None for one that lies in no folder of a class."""
        if self.parts is not None and name.parts[self.depth - 1] not in self.parts:
            return None
        return name.parts[self.depth] if len(name.parts) > self.depth + 1 else None

    def is_test(self, name: PurePosixPath) -> bool:
        """Whether an image is in the test part of the split."""
        return self.parts is not None and self.parts[name.parts[self.depth - 1]] == self.test_part


def detect_folder_layout(names: Sequence[PurePosixPath]) -> ImageFolderLayout:
    """Find out what the folders of images mean.

    Folders named train, val and test are the parts of a split if at least two of them, train among them, have two classes
    in common. A folder that holds all others is passed over.

    Parameters
    ----------
    names : sequence of path
        The images, below the folder that the user named.

    Returns
    -------
    FolderLayout
        Which folder names the class of an image, and whether it is in the test part.
    """
    folder_depth, layout_notes = 0, []
    while enclosing_folder := _enclosing_folder(names, folder_depth):
        message = f"all images lie in the folder {enclosing_folder!r}: the folders in it are read"
        layout_notes.append(Finding("enclosing_folder", "note", message))
        folder_depth += 1
    classes: dict[str, set[str]] = {}
    for name in names:
        if len(name.parts) > folder_depth + 1:
            classes.setdefault(name.parts[folder_depth], set()).update(name.parts[folder_depth + 1 : -1][:1])
    parts_by_folder = {folder: SPLIT_PARTS[folder.lower()] for folder in classes if folder.lower() in SPLIT_PARTS}
    test_part = "validation"
    if "test" in parts_by_folder.values():
        test_part = "test"
    if _is_train_test_split(parts_by_folder, classes, test_part):
        return ImageFolderLayout(
            folder_depth + 1,
            parts_by_folder,
            test_part,
            (*layout_notes, *_make_split_findings(parts_by_folder, classes, test_part)),
        )
    if not parts_by_folder:
        return ImageFolderLayout(folder_depth, notes=tuple(layout_notes))
    return _make_ambiguous_layout(folder_depth, parts_by_folder, classes, layout_notes)


def _make_ambiguous_layout(
    folder_depth: int, parts_by_folder: dict[str, str], classes: dict[str, set[str]], layout_notes: list[Finding]
) -> ImageFolderLayout:
    """Layout of folders of which some have names of parts of a split, but are none."""
    learned = [
        folder for folder, split_part in parts_by_folder.items() if split_part == "train" and len(classes[folder]) > 1
    ]
    others = sorted(classes.keys() - set(learned))
    if len(learned) == 1 and not any(map(classes.__getitem__, others)):
        message = (
            f"only {learned[0]} has folders of classes and was read; left out, without labels: {', '.join(others)}"
        )
        layout_notes.append(Finding("ambiguous_folders", "warning", message))
        return ImageFolderLayout(folder_depth + 1, dict.fromkeys(learned, "train"), notes=tuple(layout_notes))
    message = (
        f"the folders {', '.join(sorted(parts_by_folder))} were taken for classes: for a published split, train and test (or val) must "
        "each have the folders of the classes in them"
    )
    layout_notes.append(Finding("ambiguous_folders", "warning", message))
    return ImageFolderLayout(folder_depth, notes=tuple(layout_notes))


def _enclosing_folder(names: Sequence[PurePosixPath], folder_depth: int) -> str:
    """The one folder that holds all others, of which there are two or more; empty where there is none."""
    if not names or not all(len(name.parts) > folder_depth + 2 for name in names):
        return ""
    outer_folders = {name.parts[folder_depth] for name in names}
    inner_folders = {name.parts[folder_depth + 1] for name in names}
    return outer_folders.pop() if len(outer_folders) == 1 and len(inner_folders) > 1 else ""


def _is_train_test_split(parts_by_folder: dict[str, str], classes: dict[str, set[str]], test_part: str) -> bool:
    classes_by_part: dict[str, set[str]] = {}
    for folder, split_part in parts_by_folder.items():
        classes_by_part.setdefault(split_part, set()).update(classes[folder])
    if not {"train", test_part} <= classes_by_part.keys():
        return False
    return len(classes_by_part["train"] & classes_by_part[test_part]) > 1


def _make_split_findings(
    parts_by_folder: dict[str, str], classes: dict[str, set[str]], test_part: str
) -> list[Finding]:
    test_folders = ", ".join(
        sorted(folder for folder, split_part in parts_by_folder.items() if split_part == test_part)
    )
    training_folders = ", ".join(
        sorted(folder for folder, split_part in parts_by_folder.items() if split_part != test_part)
    )
    message = f"the folders are a published split: {training_folders} to learn from, {test_folders} to test on, once and not in folds"
    split_findings = [Finding("published_split", "note", message)]
    if other_folders := sorted(classes.keys() - parts_by_folder.keys()):
        message = f"folders beside the parts of the split were left out: {', '.join(other_folders[:10])}"
        split_findings.append(Finding("ambiguous_folders", "warning", message))
    classes_by_side: dict[bool, set[str]] = {True: set(), False: set()}
    for folder, split_part in parts_by_folder.items():
        classes_by_side[split_part == test_part] |= classes[folder]
    if one_sided_classes := sorted(classes_by_side[True] ^ classes_by_side[False]):
        message = f"classes that are not in both parts of the split: {', '.join(one_sided_classes[:10])}"
        split_findings.append(Finding("ambiguous_folders", "warning", message))
    return split_findings
