"""The model config: its text is the one that TensorFlow Serving reads, and equal ones are equal."""

import pytest

from sortline.client.model_config import (
    Served,
    parse_config,
    served_by,
    settings_of,
    to_text,
    with_served,
)
from sortline.core.errors import ReleaseError


def test_the_text_is_the_real_servers_and_equal_configs_are_equal_bytes() -> None:
    empty = parse_config(b"", "x")
    served = Served(frozenset({3, 1}), {"stable": 1, "canary": 3})
    config = with_served(empty, "m", "/models/m", served)
    assert to_text(config).decode() == (
        "model_config_list {\n"
        "  config {\n"
        '    name: "m"\n'
        '    base_path: "/models/m"\n'
        '    model_platform: "tensorflow"\n'
        "    model_version_policy {\n"
        "      specific {\n"
        "        versions: 1\n"
        "        versions: 3\n"
        "      }\n"
        "    }\n"
        "    version_labels {\n"
        '      key: "canary"\n'
        "      value: 3\n"
        "    }\n"
        "    version_labels {\n"
        '      key: "stable"\n'
        "      value: 1\n"
        "    }\n"
        "  }\n"
        "}\n"
    )
    again = Served(frozenset({1, 3}), {"canary": 3, "stable": 1})
    assert to_text(with_served(empty, "m", "/models/m", again)) == to_text(config)
    assert served_by(parse_config(to_text(config), "x"), "m") == served


def test_a_model_without_versions_is_left_out() -> None:
    config = with_served(parse_config(b"", "x"), "m", "/x", Served(frozenset({1}), {"stable": 1}))
    settings = settings_of(config, "m")
    assert settings is not None
    assert settings.labels == {"stable": 1}
    emptied = with_served(config, "m", "/x", Served())
    assert served_by(emptied, "m") is None
    assert emptied.WhichOneof("config") == "model_config_list", "servers refuse a config of nothing"


@pytest.mark.parametrize("data", [b"\xff", b"model {", b"custom_model_config { }"])
def test_a_file_that_is_no_list_of_models_is_refused(data: bytes) -> None:
    with pytest.raises(ReleaseError):
        parse_config(data, "models.config")
