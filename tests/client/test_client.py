"""What a program that imports the client gets: answers, images turned, requests that fit."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from helpers.scripted_server import (
    LABELS,
    VERSION,
    Script,
    images_of,
    label_of,
    lying_on_its_side,
    picture,
    serving,
    shares_of,
    usual_answer,
)
from PIL import Image

from sortline.client import Client
from sortline.client.tensors import to_proto
from sortline.core.errors import ParamsError, ServingError
from sortline.model import contract

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def sizes(script: Script) -> list[int]:
    return [len(images_of(request)) for request in script.requests]


# --- answers ---


def test_three_lines_classify_a_file(target: str, script: Script, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(picture("JPEG"))
    client = Client(target)
    (found,) = client.predict([photo])
    client.close()
    assert (found.label, found.valid, found.reason) == (label_of(photo.read_bytes()), True, "")
    assert found.probabilities == tuple(shares_of(photo.read_bytes()))
    assert found.probability == max(found.probabilities) == found.probabilities[found.class_id]
    assert (found.version, found.rotated) == (VERSION, False)
    (request,) = script.requests
    assert (request.model_spec.name, images_of(request)) == ("sortline", [photo.read_bytes()])
    assert request.model_spec.WhichOneof("version_choice") is None


def test_what_is_sent_and_read_is_what_the_contract_of_a_model_says(target: str) -> None:
    promised = contract.signatures(3, 32)[contract.SERVING_DEFAULT]
    with Client(target) as client:
        request = client.request([b""])
    assert request.model_spec.signature_name == contract.SERVING_DEFAULT
    assert set(request.inputs) == set(promised.inputs)
    assert set(usual_answer(request).outputs) == set(promised.outputs)


def test_paths_and_bytes_of_every_format_are_answered_in_their_order(
    target: str, tmp_path: Path
) -> None:
    images: list[Path | bytes] = []
    for seed in range(9):
        kind = ("JPEG", "PNG", "WEBP")[seed % 3]
        images.append(picture(kind, seed))
        path = tmp_path / f"{seed}"
        path.write_bytes(picture(kind, 100 + seed))
        images.append(path)
    with Client(target, max_batch_items=4) as client:
        found = client.predict(iter(images))
    files = [each if isinstance(each, bytes) else each.read_bytes() for each in images]
    assert [each.label for each in found] == [label_of(each) for each in files]


def test_a_bad_image_says_why_is_not_sent_and_leaves_its_neighbours_alone(
    target: str, script: Script, tmp_path: Path
) -> None:
    good = [picture(seed=seed) for seed in range(3)]
    (tmp_path / "notes.jpg").write_text("hello, I am no picture")
    huge = io.BytesIO()
    Image.new("1", (9000, 9000)).save(huge, "PNG")
    bad: list[Path | bytes] = [
        b"",
        tmp_path / "notes.jpg",
        tmp_path / "nowhere.png",
        tmp_path,
        huge.getvalue(),
        picture("GIF"),
        picture("WEBP")[:-20],
    ]
    with Client(target) as client:
        found = client.predict([good[0], *bad, good[1], good[2]])
    assert [each.reason.split(" (")[0] for each in found[1:8]] == [
        "empty",
        "not an image",
        "unreadable",
        "unreadable",
        "too many pixels",
        "unsupported format",
        "truncated",
    ]
    for each in found[1:8]:
        assert (each.valid, each.label, each.class_id, each.version) == (False, "", -1, None)
    assert [found[at].label for at in (0, 8, 9)] == [label_of(each) for each in good]
    assert images_of(script.requests[0]) == good


def test_pixels_are_the_servers_to_judge(target: str) -> None:
    with Client(target) as client:
        good, bad = client.predict([picture(), picture() + b"broken"])
    assert good.valid
    assert (bad.valid, bad.label, bad.class_id, bad.probability) == (False, "", -1, 0.0)
    assert (bad.reason, bad.version) == ("undecodable (the model refuses it)", VERSION)


def test_nothing_to_ask_is_not_asked(target: str, script: Script) -> None:
    with Client(target) as client:
        assert client.predict([]) == []
        assert [each.valid for each in client.predict([b"", b"x"])] == [False, False]
    assert script.requests == []


@pytest.mark.parametrize("wrong", [b"bytes", "name.png", Path("name.png")])
def test_a_single_image_instead_of_a_list_is_named(target: str, wrong: Any) -> None:
    with Client(target) as client, pytest.raises(ParamsError, match="brackets"):
        client.predict(wrong)


def test_an_image_of_another_type_is_named(target: str) -> None:
    images: Any = ["name.png"]
    with Client(target) as client, pytest.raises(ParamsError, match=r"'name\.png' is neither"):
        client.predict(images)


# --- orientation ---


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_on_its_side_is_turned_and_says_so(
    target: str, script: Script, kind: str
) -> None:
    with Client(target) as client:
        upright, turned = client.predict([picture(kind), lying_on_its_side(kind)])
    assert (upright.rotated, turned.rotated) == (False, True)
    sent = images_of(script.requests[0])
    assert sent[0] == picture(kind)
    with Image.open(io.BytesIO(sent[1])) as image:
        assert (image.format, image.size) == (kind, (16, 24))
        assert not {"exif", "icc_profile"} & image.info.keys()


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_what_is_sent_of_a_turned_picture_is_what_ingest_stores(
    target: str, script: Script, tmp_path: Path, kind: str, orientation: int
) -> None:
    from sortline.dataset.checking import check_image

    image = lying_on_its_side(kind, orientation)
    (tmp_path / "image").write_bytes(image)
    stored = check_image(tmp_path / "image", max_pixels=1000, staging=tmp_path)
    assert stored.turned
    with Client(target) as client:
        client.predict([image])
    (sent,) = images_of(script.requests[0])
    assert sent == stored.local.read_bytes()


def test_sixteen_bits_and_transparency_are_left_to_the_server(target: str, script: Script) -> None:
    from sortline.images.decode import decode_bytes

    exif = Image.Exif()
    exif[0x0112] = 3
    deep = np.random.default_rng(0).integers(0, 65535, (16, 24), np.uint16)
    clear = np.random.default_rng(1).integers(0, 255, (16, 24, 4), np.uint8)
    files = []
    for pixels in (deep, clear):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
        files.append(buffer.getvalue())
    with Client(target) as client:
        client.predict(files)
    for before, after in zip(files, images_of(script.requests[0]), strict=True):
        pixels = decode_bytes(before, max_pixels=1000)[::-1, ::-1]
        np.testing.assert_array_equal(decode_bytes(after, max_pixels=1000), pixels)


def test_what_webp_keeps_under_transparent_pixels_is_kept(target: str, script: Script) -> None:
    from sortline.images.decode import decode_bytes

    exif = Image.Exif()
    exif[0x0112] = 3
    buffer = io.BytesIO()
    halves = np.repeat(np.array([[[200, 30, 90, 0], [30, 90, 200, 0]]], np.uint8), 32, axis=1)
    pixels = np.repeat(halves, 64, axis=0)
    Image.fromarray(pixels).save(buffer, "WEBP", exif=exif, exact=True, lossless=True)
    with Client(target) as client:
        client.predict([buffer.getvalue()])
    (sent,) = images_of(script.requests[0])
    changed = np.abs(decode_bytes(sent, max_pixels=10_000).astype(int) - pixels[:, ::-1, :3])
    assert changed.mean() < 5


def test_a_picture_that_cannot_be_turned_is_refused(target: str, script: Script) -> None:
    with Client(target) as client:
        cut, good = client.predict([lying_on_its_side()[:700], picture()])
    assert (cut.valid, good.valid, len(images_of(script.requests[0]))) == (False, True, 1)
    assert cut.reason.startswith("undecodable (its EXIF orientation is 6, and it cannot be turned")


# --- batches ---


def test_requests_stay_under_the_limit_and_are_well_filled(script: Script) -> None:
    limit = 20_000
    lengths = np.random.default_rng(0).integers(1_000, 9_000, 60).tolist()
    images = [picture() + b"\0" * length for length in lengths]
    settings: dict[str, Any] = {"max_message_bytes": limit, "max_batch_items": 1000}
    with serving(script, max_message_bytes=limit) as target, Client(target, **settings) as client:
        found = client.predict(images)
    assert [each.label for each in found] == [label_of(each) for each in images]
    spent = [request.ByteSize() for request in script.requests]
    assert max(spent) <= limit
    firsts = [len(images_of(request)[0]) for request in script.requests[1:]]
    assert all(size + first > limit - 100 for size, first in zip(spent, firsts, strict=False))


def test_an_image_that_just_fits_is_sent_and_one_byte_more_is_refused(script: Script) -> None:
    limit = 10_000
    with (
        serving(script, max_message_bytes=limit) as target,
        Client(target, max_message_bytes=limit) as client,
    ):
        room = client.room - 6
        fits = picture() + b"\0" * (room - len(picture()))
        first, second = client.predict([fits, fits + b"\0"])
    assert (first.valid, second.valid) == (True, False)
    assert second.reason.startswith(f"too many bytes ({room + 1:,}; {room:,} fit into a message")
    assert script.requests[0].ByteSize() > limit - 64


def test_a_file_that_is_too_large_is_not_even_read(target: str, tmp_path: Path) -> None:
    sparse = tmp_path / "film.jpg"
    sparse.write_bytes(picture("JPEG"))
    with sparse.open("r+b") as file:
        file.truncate(1 << 40)
    with Client(target) as client:
        (found,) = client.predict([sparse])
    assert found.reason.startswith("too many bytes (1,099,511,627,776;")


def test_at_most_so_many_images_go_into_a_request(target: str, script: Script) -> None:
    with Client(target, max_batch_items=4) as client:
        client.predict([picture(seed=seed) for seed in range(10)])
    assert sizes(script) == [4, 4, 2]


def test_images_are_read_as_they_are_needed(target: str, script: Script) -> None:
    taken: list[int] = []

    def images() -> Iterator[bytes]:
        for seed in range(12):
            taken.append(seed)
            yield picture(seed=seed)

    answered: list[int] = []

    def answer(request: Any) -> Any:
        answered.append(len(taken))
        return usual_answer(request)

    script.answer = answer
    with Client(target, max_batch_items=4) as client:
        client.predict(images())
    assert answered == [4, 8, 12]


# --- labels ---


def test_probabilities_by_label_need_the_labels(target: str) -> None:
    with Client(target) as client, pytest.raises(ParamsError, match=r"contract\.json"):
        _ = client.predict([picture()])[0].by_label
    with Client(target, labels=LABELS) as client:
        found, refused = client.predict([picture(), b""])
    assert found.by_label == dict(zip(LABELS, shares_of(picture()), strict=True))
    assert refused.by_label == dict.fromkeys(LABELS, 0.0)


def test_labels_of_another_model_are_noticed(target: str) -> None:
    for labels, said in ((LABELS[::-1], "another model"), (LABELS[:2], "3 classes, the client 2")):
        with Client(target, labels=labels) as client, pytest.raises(ServingError, match=said):
            client.predict([picture(seed=seed) for seed in range(5)])


# --- answers that make no sense ---


def without(name: str, request: Any) -> Any:
    response = usual_answer(request)
    del response.outputs[name]
    return response


def replaced(name: str, values: Any, request: Any) -> Any:
    response = usual_answer(request)
    response.outputs[name].CopyFrom(to_proto(values))
    return response


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda r: without("valid", r), "no output valid; the outputs are: class_id"),
        (lambda r: replaced("class_id", [1, 2, 3], r), r"class_id is int64 of shape \[3\]"),
        (lambda r: replaced("class_id", [0.5], r), "class_id is float64"),
        (lambda r: replaced("class_id", [99], r), "class 99 is none of its 3"),
        (lambda r: replaced("probabilities", [0.5], r), r"shape \[1\]; wanted rank 2"),
    ],
)
def test_an_answer_of_another_model_is_no_answer(
    target: str, script: Script, answer: Any, said: str
) -> None:
    script.answer = answer
    with Client(target) as client, pytest.raises(ServingError, match=said) as caught:
        client.predict([picture()])
    assert caught.value.code == "INTERNAL"
    assert caught.value.__cause__ is not None
