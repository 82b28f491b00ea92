"""Without these: an archive that writes over the user's files, or a dataset with a part missing."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import boto3
import pytest

from sortline.core.errors import DataError, ParamsError
from sortline.core.storage.s3 import S3Storage
from sortline.dataset import archives
from sortline.dataset.layout import (
    Place,
    Stray,
    clean_name,
    free_name,
    image_name,
    is_hidden,
    place_all,
)
from sortline.dataset.sources import SourceFile, read_source

pytest_plugins = ["helpers.s3_server"]

TREE = {"glass/a.jpg": b"A", "glass/b c.JPG": b"B", "métal/ü.png": b"C", "README.txt": b"R"}


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir()
    return folder


def write_tree(root: Path, tree: dict[str, bytes]) -> Path:
    for name, data in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def write_zip(path: Path, tree: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in tree.items():
            zipped.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path


def member(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def write_tar(path: Path, tree: dict[str, bytes], *more: tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in tree.items():
            tar.addfile(member(name, size=len(data)), io.BytesIO(data))
        for info in more:
            tar.addfile(info)
    return path


def contents(files: list[SourceFile]) -> dict[str, bytes]:
    return {file.path: file.local.read_bytes() for file in files if file.local}


def everything_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_folder_is_read_where_it_lies(tmp_path: Path, staging: Path) -> None:
    source = write_tree(tmp_path / "source", TREE | {".git/x": b"", "glass/.DS_Store": b""})
    (source / "empty").mkdir()
    files = read_source(str(source), staging)
    assert contents(files) == TREE
    assert [(file.path, file.reason) for file in files if file.reason] == [
        ("empty/", "empty folder")
    ]
    assert not list(staging.iterdir())


def test_links_are_followed_inside_the_folder_only(tmp_path: Path, staging: Path) -> None:
    source = write_tree(tmp_path / "source", TREE)
    (tmp_path / "secret.jpg").write_bytes(b"private")
    (source / "glass" / "in.jpg").symlink_to(source / "glass" / "a.jpg")
    (source / "glass" / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (source / "glass" / "dangling.jpg").symlink_to("nowhere")
    (source / "glass" / "loop.jpg").symlink_to("loop.jpg")
    (source / "other").symlink_to(source / "glass")
    os.mkfifo(source / "glass" / "pipe.jpg")
    files = read_source(str(source), staging)
    assert contents(files) == TREE | {"glass/in.jpg": b"A"}
    assert {file.path: file.reason for file in files if file.reason} == {
        "glass/out.jpg": "link",
        "glass/dangling.jpg": "link",
        "glass/loop.jpg": "link",
        "glass/pipe.jpg": "not a file",
        "other": "link",
    }


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_gives_what_the_folder_gives(tmp_path: Path, staging: Path, mode: str) -> None:
    # Named without a suffix: what a file is, its bytes say.
    tree = TREE | {"__MACOSX/glass/._a.jpg": b"junk", "glass/.hidden.jpg": b"junk"}
    path = tmp_path / "download"
    write_zip(path, tree) if mode == "zip" else write_tar(path, tree, mode=mode)
    assert contents(read_source(str(path), staging)) == TREE


def test_names_in_an_archive_never_name_files_on_disk(tmp_path: Path, staging: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"glass/con\nx.jpg": b"A", "gl\\ass.jpg": b"B"})
    assert contents(read_source(str(path), staging)) == {
        "glass/con\nx.jpg": b"A",
        "gl/ass.jpg": b"B",
    }
    assert everything_below(staging) == ["00000000", "00000001"]


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "glass/../../evil.jpg", "/evil.jpg", "C:\\evil.jpg", "..\\evil.jpg"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_reaches_out_is_refused_whole(
    tmp_path: Path, staging: Path, kind: str, name: str
) -> None:
    name = name if kind == "zip" else name.replace("\\", "/")
    tree = {"glass/a.jpg": b"A", name: b"evil"}
    path = (write_zip if kind == "zip" else write_tar)(tmp_path / "evil.archive", tree)
    with pytest.raises(DataError, match="refused"):
        read_source(str(path), staging)
    assert not list(tmp_path.rglob("evil.jpg"))


LINKS = [
    member("glass/l.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    member("glass/l.jpg", type=tarfile.SYMTYPE, linkname="../../secret"),
    member("glass/l.jpg", type=tarfile.LNKTYPE, linkname="../secret"),
    member("glass", type=tarfile.SYMTYPE, linkname=".."),
    member("glass/l.jpg", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    member("glass/l.jpg", type=tarfile.FIFOTYPE),
]


@pytest.mark.parametrize("hostile", LINKS)
def test_links_out_and_devices_in_a_tar_are_refused(
    tmp_path: Path, staging: Path, hostile: tarfile.TarInfo
) -> None:
    path = write_tar(tmp_path / "a.tar", {"glass/a.jpg": b"A"}, hostile)
    with pytest.raises(DataError, match="refused"):
        read_source(str(path), staging)


def test_a_link_to_a_folder_cannot_redirect_what_follows(tmp_path: Path, staging: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(member("glass", type=tarfile.SYMTYPE, linkname="metal"))
        tar.addfile(member("glass/evil.jpg", size=4), io.BytesIO(b"evil"))
    files = read_source(str(path), staging)
    assert {file.path: file.reason for file in files} == {"glass": "link", "glass/evil.jpg": ""}
    assert not list(tmp_path.rglob("evil.jpg"))


def test_a_link_out_of_a_zip_is_refused(tmp_path: Path, staging: Path) -> None:
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("glass/l.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="leads out"):
        read_source(str(path), staging)


def test_links_inside_a_tar_give_the_file_they_lead_to(tmp_path: Path, staging: Path) -> None:
    path = write_tar(
        tmp_path / "a.tar",
        {"glass/a.jpg": b"A"},
        member("glass/hard.jpg", type=tarfile.LNKTYPE, linkname="glass/a.jpg"),
        member("metal/soft.jpg", type=tarfile.SYMTYPE, linkname="../glass/hard.jpg"),
        member("metal/loop.jpg", type=tarfile.SYMTYPE, linkname="loop.jpg"),
    )
    files = read_source(str(path), staging)
    assert contents(files) == dict.fromkeys(
        ["glass/a.jpg", "glass/hard.jpg", "metal/soft.jpg"], b"A"
    )
    assert [file.path for file in files if file.reason == "link"] == ["metal/loop.jpg"]


def test_an_encrypted_zip_is_refused(tmp_path: Path, staging: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"glass/a.jpg": b"A"})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # The flag, in the local header and in the list at the end.
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        read_source(str(path), staging)


@pytest.mark.parametrize("mode", ["zip", "w:gz", "w:xz"])
def test_a_bomb_stops_at_the_cap(
    tmp_path: Path, staging: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(archives, "_MIN_CAP_BYTES", 1 << 20)
    path, tree = tmp_path / "bomb", {f"glass/{n}.jpg": bytes(1 << 20) for n in range(8)}
    write_zip(path, tree) if mode == "zip" else write_tar(path, tree, mode=mode)
    with pytest.raises(DataError, match="more than 1,048,576 bytes"):
        read_source(str(path), staging)
    assert sum(file.stat().st_size for file in staging.iterdir()) <= 1 << 20


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.8])
def test_half_a_download_is_refused(tmp_path: Path, staging: Path, mode: str, keep: float) -> None:
    path, tree = tmp_path / "a", {f"glass/{n}.jpg": os.urandom(3000) for n in range(20)}
    write_zip(path, tree) if mode == "zip" else write_tar(path, tree, mode=mode)
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(DataError, match=r"damaged|neither"):
        read_source(str(path), staging)


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz"])
def test_a_broken_member_is_refused(tmp_path: Path, staging: Path, mode: str) -> None:
    path, tree = tmp_path / "a", {f"glass/{n}.jpg": os.urandom(3000) for n in range(4)}
    write_zip(path, tree) if mode == "zip" else write_tar(path, tree, mode=mode)
    data = bytearray(path.read_bytes())
    # In a plain tar contents have no checksum, but headers do: break the second one.
    place = data.index(b"glass/1.jpg") if mode == "w" else len(data) // 2
    data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        read_source(str(path), staging)


@pytest.mark.parametrize("data", [b"", b"just text", b"PK\x03\x04nonsense"])
def test_other_files_are_no_source(tmp_path: Path, staging: Path, data: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"neither a zip nor a tar|damaged"):
        read_source(str(path), staging)


def test_a_missing_source_is_named(tmp_path: Path, staging: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere is missing\. Give a folder"):
        read_source(str(tmp_path / "nowhere"), staging)


@pytest.fixture
def s3(empty_s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty S3 that is asked once."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def fill_bucket(keys: dict[str, bytes]) -> None:
    client = boto3.client("s3")
    client.create_bucket(Bucket="images")
    for key, data in keys.items():
        client.put_object(Bucket="images", Key=key, Body=data)
    client.close()


def test_a_prefix_gives_what_the_folder_gives(s3: None, staging: Path) -> None:
    fill_bucket(
        {f"waste/{name}": data for name, data in TREE.items()}
        | {"waste/": b"", "waste/glass/.DS_Store": b"", "waste2/glass/z.jpg": b"other"}
    )
    for url in ("s3://images/waste", "s3://images/waste/"):
        files = read_source(url, staging)
        # A stray is named, not fetched: it may be a model of ten gigabytes.
        assert contents(files) == {name: TREE[name] for name in TREE if name != "README.txt"}
        assert "README.txt" in [file.path for file in files]


def test_a_listing_of_many_pages_is_read_to_the_end(
    s3: None, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
    fill_bucket({f"glass/{n:02d}.jpg": bytes([n]) for n in range(23)})
    assert len(contents(read_source("s3://images", staging))) == 23


def test_a_listing_that_breaks_off_is_an_error(
    s3: None, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.paginate import PageIterator

    fill_bucket({"glass/a.jpg": b"A"})
    cut = [{"IsTruncated": True, "Contents": [{"Key": "glass/a.jpg"}]}]
    monkeypatch.setattr(PageIterator, "__iter__", lambda self: iter(cut))
    with pytest.raises(DataError, match="listing broke off after 1 keys"):
        read_source("s3://images", staging)


def test_what_s3_refuses_is_said_with_the_address(s3: None, staging: Path) -> None:
    with pytest.raises(DataError, match=r"s3://nothing/here: .*NoSuchBucket.*AWS_ENDPOINT_URL"):
        read_source("s3://nothing/here", staging)
    with pytest.raises(ParamsError, match="names no bucket"):
        read_source("s3:///waste", staging)


def test_a_server_that_is_down_is_said(
    s3: None, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="Could not connect"):
        read_source("s3://images/waste", staging)


def test_one_object_that_cannot_be_had_stops_it(
    s3: None, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_bucket({"glass/a.jpg": b"A", "glass/b.jpg": b"B"})
    listed = ["glass/a.jpg", "glass/b.jpg", "glass/gone.jpg"]
    monkeypatch.setattr(S3Storage, "names", lambda _: listed)
    with pytest.raises(DataError, match=r"reading glass/gone\.jpg failed: .*NoSuchKey"):
        read_source("s3://images", staging)


def places(*paths: str) -> list[tuple[str, str | None] | str]:
    return [
        (one.label, one.split) if isinstance(one, Place) else one.reason for one in place_all(paths)
    ]


def test_classes_and_splits_are_read_from_paths() -> None:
    assert places("glass/a.jpg", "metal/b.jpg") == [("glass", None), ("metal", None)]
    assert places("top/glass/a.jpg", "top/metal/b.jpg", "LICENSE") == [
        ("glass", None),
        ("metal", None),
        "not in a class folder",
    ]
    assert places("x/y/train/glass/a.jpg", "x/y/valid/glass/b.jpg", "x/y/Test/glass/c.jpg") == [
        ("glass", "train"),
        ("glass", "val"),
        ("glass", "test"),
    ]
    assert places("train/glass/a.jpg", "train/a.jpg", "docs/glass/a.jpg", "a.txt") == [
        ("glass", "train"),
        "not in a class folder",
        "not in a split",
        "not in a split",
    ]
    assert places("glass/brown/a.jpg", "glass/b.jpg", "metal/c.jpg")[0] == "too deep"


def test_a_class_may_be_called_like_a_split() -> None:
    assert places("test/a.jpg", "glass/b.jpg") == [("test", None), ("glass", None)]


def test_composed_and_decomposed_names_are_one_class() -> None:
    first, second = place_all(["métal/a.jpg", "me\u0301tal/b.jpg"])
    assert not isinstance(first, Stray)
    assert not isinstance(second, Stray)
    assert first.label == second.label == "métal"


@pytest.mark.parametrize(
    ("name", "image_format", "kept"),
    [
        ("a b.JPG", "jpeg", "a b.jpg"),
        ("a.jpeg", "jpeg", "a.jpg"),
        ("really.jpg", "png", "really.png"),
        ("photo.v2", "webp", "photo.v2.webp"),
        ("u\u0308.png", "png", "ü.png"),
        ("..png", "png", "_png.png"),
        ("a\nb\\c.jpg", "jpeg", "a_b_c.jpg"),
        ("\udcff.jpg", "jpeg", "_.jpg"),
        (" .jpg ", "jpeg", "_jpg.jpg"),
    ],
)
def test_names_are_made_safe(name: str, image_format: str, kept: str) -> None:
    assert image_name(name, image_format) == kept
    assert not is_hidden(kept)


def test_long_names_still_fit_a_file_system() -> None:
    name = image_name("ü" * 400 + ".jpg", "jpeg")
    assert len(free_name(name, "f" * 64, {name.casefold()}).encode()) < 255
    assert clean_name("") == "_"


def test_a_taken_name_is_told_apart_by_its_contents() -> None:
    assert free_name("a.jpg", "0123456789", set()) == "a.jpg"
    assert free_name("A.jpg", "0123456789", {"a.jpg"}) == "A-01234567.jpg"
