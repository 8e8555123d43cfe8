"""The files of Docker and TF Serving, which nothing here runs: they are parsed and checked."""

import dataclasses
import json
import pathlib
import re

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from rnnpt.serving._batching_config import BatchingParameters
from rnnpt.serving._monitoring import metrics_path
from rnnpt.serving.server import ServerOptions

ROOT = pathlib.Path(__file__).parents[1]
INSTRUCTIONS = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
    "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip
# Source: tensorflow/serving, tensorflow_serving/model_servers/main.cc, 2.20.
SERVER_FLAGS = set(
    """
    port grpc_socket_path rest_api_port rest_api_num_threads rest_api_timeout_in_ms
    rest_api_enable_cors_support enable_batching allow_version_labels_for_unavailable_models
    batching_parameters_file enable_per_model_batching_parameters model_config_file
    model_config_file_poll_wait_seconds model_name model_base_path num_load_threads
    num_unload_threads max_num_load_retries load_retry_interval_micros
    file_system_poll_wait_seconds flush_filesystem_caches tensorflow_session_parallelism
    tensorflow_session_config_file tensorflow_intra_op_parallelism tensorflow_inter_op_parallelism
    use_alts_credentials ssl_config_file platform_config_file per_process_gpu_memory_fraction
    saved_model_tags grpc_channel_arguments grpc_max_threads enable_model_warmup
    num_request_iterations_for_warmup version monitoring_config_file
    remove_unused_fields_from_bundle_metagraph prefer_tflite_model num_tflite_pools
    num_tflite_interpreters_per_pool enable_signature_method_name_check
    xla_cpu_compilation_enabled xla_gpu_compilation_enabled enable_profiler
    thread_pool_factory_config_file mixed_precision skip_initialize_tpu
    enable_grpc_healthcheck_service enable_serialization_as_tensor_content
    """.split()
)
SERVER_IMAGE = re.compile(r"tensorflow/serving:(\S+)")


def dockerfile() -> list[tuple[str, str]]:
    """The instructions with their arguments, comments dropped and continued lines joined."""
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\\\n\s*", "", text)
    parts = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(word, rest) for word, rest in parts]


def last_stage() -> dict[str, str]:
    steps = dockerfile()
    start = max(i for i, (word, _) in enumerate(steps) if word == "FROM")
    return dict(steps[start:])


def images() -> list[tuple[str, str]]:
    """(image or earlier stage, stage) for every FROM."""
    stages = [rest.split() for word, rest in dockerfile() if word == "FROM"]
    assert all(len(stage) == 3 and stage[1] == "AS" for stage in stages)
    return [(stage[0], stage[2]) for stage in stages]


def test_dockerfile_holds_known_instructions_only():
    assert {word for word, _ in dockerfile()} <= INSTRUCTIONS


def test_dockerfile_builds_tests_and_serves_last():
    names = [name for _, name in images()]
    assert {"build", "test", "serve"} <= set(names) and names[-1] == "serve"


def test_every_image_is_an_earlier_stage_or_has_a_pinned_tag():
    earlier: set[str] = set()
    for image, name in images():
        assert image in earlier or re.fullmatch(r"[\w/]+:\d+\.\d+[\w.-]*", image), image
        earlier.add(name)


def test_copied_files_exist():
    for word, rest in dockerfile():
        if word == "COPY" and "--from=" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source


def test_packages_are_installed_with_the_tested_versions():
    installs = [rest for word, rest in dockerfile() if word == "RUN" and "pip install" in rest]
    assert installs and all("--constraint constraints.txt" in rest for rest in installs)


def test_served_image_runs_the_server_itself_as_an_ordinary_user():
    stage = last_stage()
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage["USER"])
    assert json.loads(stage["ENTRYPOINT"])[0] == "tensorflow_model_server"
    assert "/models/chorales" in stage["COPY"]


def test_health_check_is_a_list_of_words():
    check = json.loads(last_stage()["HEALTHCHECK"].partition("CMD ")[2])
    assert check[:2] == ["bash", "-c"]
    assert not {"curl", "wget"} & set(check[2].split())


def test_server_flags_are_known_and_consistent():
    flags = [word[2:].partition("=")[0] for word in json.loads(last_stage()["ENTRYPOINT"])[1:]]
    assert set(flags) <= SERVER_FLAGS
    # All three together stop the server at its start.
    assert "tensorflow_session_parallelism" not in flags


@pytest.mark.parametrize(
    "path", sorted(path for path in (ROOT / "serving").rglob("*") if path.is_file()),
    ids=lambda path: path.name)
def test_flags_that_serving_files_name_are_known(path):
    flags = set(re.findall(r"(?<![\w-])--([a-z]+(?:_[a-z]+)+)", path.read_text()))
    own = {"output_dir", "primer_midi", "num_steps", "run_dir", "export_dir", "num_calls", "max_p"}
    if path.suffix == ".md":  # tells of the embedded server too, which has some more
        own |= {field.name for field in dataclasses.fields(ServerOptions)}
    assert flags - own <= SERVER_FLAGS


def test_all_files_name_one_version_of_the_server():
    names = ["Dockerfile", "README.md", "serving/README.md", "serving/docker-compose.yml",
             "serving/k8s/deployment.yaml"]
    tags = {tag for name in names for tag in SERVER_IMAGE.findall((ROOT / name).read_text())}
    assert len(tags) == 1


def test_models_config_serves_the_baked_model():
    text = (ROOT / "serving" / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    [model] = config.model_config_list.config
    assert model.model_platform == "tensorflow"
    assert model.base_path in last_stage()["COPY"]
    assert model.model_version_policy.latest.num_versions == 2


def test_batching_config_ends_its_sizes_with_the_largest_batch():
    text = (ROOT / "serving" / "batching.config").read_text()
    config = text_format.Parse(text, BatchingParameters())
    sizes = list(config.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)) and sizes[-1] == config.max_batch_size.value


def test_batching_is_off_in_the_image():
    assert "batching" not in last_stage()["ENTRYPOINT"]


def test_monitoring_config_switches_prometheus_on():
    path = metrics_path(str(ROOT / "serving" / "monitoring.config"))
    assert path is not None and re.fullmatch(r"(/\w+)+", path)
