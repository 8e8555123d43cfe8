"""The Python of serving/README.md runs against a server."""

import pathlib
import re

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from rnnpt.serving._json_parser import MESSAGES, JsonError, parse_json
from rnnpt.serving.server import ModelServer

PAGE = (pathlib.Path(__file__).parents[2] / "serving" / "README.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TEXTS = re.findall(r"^\| (`.*`|nothing) \| (.*\.) \|$", PAGE.partition("### Texts of")[2], re.M)


@pytest.mark.parametrize("code", EXAMPLES, ids=["client", "stubs"])
def test_python_examples_of_the_page_run(server: ModelServer, code: str) -> None:
    assert "localhost:8500" in code
    names: dict = {}
    exec(code.replace("localhost:8500", f"127.0.0.1:{server.port}"), names)
    assert names["state"].shape == (1, 3) and np.isfinite(names["state"]).all()


def test_labels_of_the_page_name_versions_that_it_loads() -> None:
    [text] = re.findall(r"```proto\n(model_config_list.*?)```", PAGE, re.DOTALL)
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    [model] = config.model_config_list.config
    versions = model.model_version_policy.specific.versions
    assert dict(model.version_labels) == {"stable": 1, "canary": 2}
    assert set(model.version_labels.values()) <= set(versions)


@pytest.mark.parametrize(("body", "text"), TEXTS)
def test_the_parser_says_what_the_page_says(body: str, text: str) -> None:
    with pytest.raises(JsonError) as caught:
        parse_json(b"" if body == "nothing" else body.strip("`").encode())
    assert str(caught.value).startswith(text if body != "nothing" else text.rstrip("."))


def test_the_page_has_every_text_that_the_parser_can_say() -> None:
    never = {"StringInvalidEncoding", "DocumentRootNotSingular", "Termination",
             "UnspecificSyntaxError"}
    assert [text for _, text in TEXTS] == [
        text for name, text in MESSAGES.items() if name not in never]
