"""The YAML of Docker Compose, Prometheus and Kubernetes, and nginx's file: read, never run."""

import dataclasses
import itertools
import pathlib
import re
from typing import Any

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from rnnpt.export import _warmup
from rnnpt.serving._address import parse_target
from rnnpt.serving._batching_config import read_settings
from rnnpt.serving.server import ServerOptions
from tests.test_deployment import ROOT, SERVER_FLAGS, dockerfile, last_stage

SERVING = ROOT / "serving"
KUBERNETES = SERVING / "k8s"
YAML_FILES = sorted([*SERVING.rglob("*.yml"), *SERVING.rglob("*.yaml")])


class StrictLoader(yaml.SafeLoader):
    """YAML's plain types, and no key twice, which YAML forbids and PyYAML lets pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"{node.start_mark}: a key stands twice in {keys}"
        return super().construct_mapping(node, deep)


def documents(path: pathlib.Path) -> list[dict]:
    return list(yaml.load_all(path.read_text("utf-8"), StrictLoader))


def check(value: Any, schema: Any, place: str) -> None:
    """Holds a value against its schema.

    A schema is a type; a tuple of the values that are allowed; a list with the schema of each item;
    or a dict, key -> schema, where keys that end in "!" must be there and `str` stands for any.
    """
    if isinstance(schema, dict):
        assert isinstance(value, dict), f"{place} must be a mapping, got {value!r}"
        known = {key.rstrip("!") if isinstance(key, str) else key: part
                 for key, part in schema.items()}
        required = {key[:-1] for key in schema if isinstance(key, str) and key.endswith("!")}
        assert required <= value.keys(), f"{place} must have {required - value.keys()}"
        for key, part in value.items():
            assert isinstance(key, str), f"{place} must have texts as keys, got {key!r}"
            assert key in known or str in known, f"{place}.{key} is unknown"
            check(part, known.get(key, known.get(str)), f"{place}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list) and value, f"{place} must be a list of some"
        for number, item in enumerate(value):
            check(item, schema[0], f"{place}[{number}]")
    elif isinstance(schema, tuple):
        assert value in schema, f"{place} must be one of {schema}, got {value!r}"
    else:
        assert type(value) is schema, f"{place} must be {schema.__name__}, got {value!r}"


LABELS = {str: str}
METADATA = {"name!": str, "labels": LABELS}
SELECTOR = {"matchLabels!": LABELS}
HTTP = {"path!": str, "port!": str}
PROBE = {"tcpSocket": {"port!": str}, "httpGet": HTTP, "periodSeconds": int, "timeoutSeconds": int,
         "failureThreshold": int}
AMOUNTS = {"cpu!": str, "memory!": str}
CONTAINER = {
    "name!": str, "image!": str, "command": [str], "args": [str],
    "ports": [{"name!": str, "containerPort!": int}],
    "startupProbe!": PROBE, "readinessProbe!": PROBE, "livenessProbe!": PROBE,
    "lifecycle": {"preStop": {"exec": {"command": [str]}}},
    "resources!": {"requests!": AMOUNTS, "limits!": AMOUNTS},
    "securityContext!": {
        "allowPrivilegeEscalation!": (False,), "readOnlyRootFilesystem!": (True,),
        "capabilities!": {"drop!": (["ALL"],)}},
    "volumeMounts": [{"name!": str, "mountPath!": str, "readOnly": bool}],
}
POD = {
    "automountServiceAccountToken": bool, "terminationGracePeriodSeconds!": int,
    "securityContext!": {
        "runAsNonRoot!": (True,), "runAsUser!": int, "runAsGroup": int,
        "seccompProfile": {"type!": ("RuntimeDefault",)}},
    "nodeSelector": LABELS,
    "topologySpreadConstraints": [{
        "maxSkew!": int, "topologyKey!": str, "whenUnsatisfiable!": ("ScheduleAnyway",),
        "labelSelector!": SELECTOR}],
    "containers!": [CONTAINER],
    "volumes": [{
        "name!": str, "persistentVolumeClaim": {"claimName!": str, "readOnly": bool},
        "configMap": {"name!": str}, "emptyDir": {"sizeLimit": str}}],
}
PEER = {"podSelector": SELECTOR, "namespaceSelector": SELECTOR}
#: Kind -> its apiVersion and what it holds. Source: the API reference of Kubernetes 1.33.
OBJECTS = {
    "Namespace": ("v1", {}),
    "Deployment": ("apps/v1", {"spec!": {
        "selector!": SELECTOR, "template!": {"metadata!": {"labels!": LABELS}, "spec!": POD},
        "strategy": {"rollingUpdate": {"maxSurge": int, "maxUnavailable": int}}}}),
    "Service": ("v1", {"spec!": {
        "selector!": LABELS, "clusterIP": ("None",),
        "ports!": [{"name!": str, "port!": int, "targetPort!": str, "appProtocol": str}]}}),
    "HorizontalPodAutoscaler": ("autoscaling/v2", {"spec!": {
        "scaleTargetRef!": {"apiVersion!": str, "kind!": str, "name!": str},
        "minReplicas": int, "maxReplicas!": int,
        "metrics!": [{"type!": ("Resource",), "resource!": {
            "name!": ("cpu",),
            "target!": {"type!": ("Utilization",), "averageUtilization!": int}}}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": int}}}}),
    "PodDisruptionBudget": ("policy/v1", {"spec!": {
        "maxUnavailable!": int, "selector!": SELECTOR}}),
    "NetworkPolicy": ("networking.k8s.io/v1", {"spec!": {
        "podSelector!": SELECTOR, "policyTypes!": [("Ingress", "Egress")],
        "ingress": [{"from!": [PEER], "ports!": [{"protocol!": ("TCP",), "port!": str}]}],
        "egress": ([],)}}),
}  # fmt: skip
KUSTOMIZATION = {
    "apiVersion!": ("kustomize.config.k8s.io/v1beta1",), "kind!": ("Kustomization",),
    "namespace": str, "resources!": [str],
    "configMapGenerator": [{"name!": str, "files!": [str]}]}
MOUNT = {"type!": ("bind", "volume"), "source!": str, "target!": str, "read_only": bool}
#: Source: the Compose specification.
COMPOSE = {
    "name": str,
    "services!": {str: {
        "image!": str, "init": bool, "entrypoint": [str], "command": [str], "user": str,
        "read_only": bool, "cap_drop": [("ALL",)], "security_opt": [str], "tmpfs": [str],
        "ports": [str], "volumes": [MOUNT], "profiles": [str], "restart": ("unless-stopped",),
        "healthcheck": {"test!": [str], "interval!": str, "timeout!": str, "retries": int,
                        "start_period": str},
        "stop_grace_period": str,
        "deploy": {"resources": {"limits": {"cpus": str, "memory": str}}},
        "depends_on": {str: {"condition!": ("service_healthy",)}}}},
    "volumes": {str: {}}}
PROMETHEUS = {
    "global": {"scrape_interval": str, "evaluation_interval": str}, "rule_files": [str],
    "scrape_configs!": [{
        "job_name!": str, "metrics_path": str, "static_configs!": [{"targets!": [str]}],
        "metric_relabel_configs": [{
            "source_labels!": [str], "regex!": str, "action!": ("keep",)}]}]}
ALERTS = {"groups!": [{"name!": str, "rules!": [{
    "alert!": str, "expr!": str, "for": str, "labels!": {"severity!": ("page", "ticket")},
    "annotations!": {"summary!": str}}]}]}
#: Row 78, and what Prometheus itself adds.
METRICS = {"up", *(f":tensorflow:serving:{name}" for name in (
    "request_count", "request_latency_bucket", "model_warmup_latency_count"))}


def objects() -> list[dict]:
    resources = documents(KUBERNETES / "kustomization.yaml")[0]["resources"]
    return [item for name in resources for item in documents(KUBERNETES / name)]


def only(kind: str) -> dict:
    [item] = [item for item in objects() if item["kind"] == kind]
    return item


def container() -> dict:
    [item] = only("Deployment")["spec"]["template"]["spec"]["containers"]
    return item


def compose_service() -> dict:
    return documents(SERVING / "docker-compose.yml")[0]["services"]["serving"]


def model_names() -> set[str]:
    text = (SERVING / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    return {model.name for model in config.model_config_list.config}


def seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.name)
def test_every_yaml_file_fits_a_schema(path):
    schemas = {"docker-compose.yml": COMPOSE, "prometheus.yml": PROMETHEUS, "alerts.yml": ALERTS,
               "kustomization.yaml": KUSTOMIZATION}
    for document in documents(path):
        if path.name in schemas:
            check(document, schemas[path.name], path.name)
        else:
            kind = document["kind"]
            version, rest = OBJECTS[kind]
            known = {"apiVersion!": (version,), "kind!": (kind,), "metadata!": METADATA}
            check(document, {**known, **rest}, kind)


@pytest.mark.parametrize(("value", "schema", "message"), [
    ({"a": 1, "b": 2}, {"a!": int}, "x.b is unknown"),
    ({}, {"a!": int}, "x must have {'a'}"),
    ({"a": True}, {"a": int}, "x.a must be int, got True"),
    ({"a": [1, "2"]}, {"a": [int]}, r"x.a\[1\] must be int, got '2'"),
    ({"a": "b"}, {"a": ("c",)}, r"x.a must be one of \('c',\), got 'b'"),
    ([], {"a": int}, r"x must be a mapping, got \[\]"),
    ([], [int], "x must be a list of some"),
])
def test_the_schemas_refuse_what_does_not_fit(value, schema, message):
    with pytest.raises(AssertionError, match=message):
        check(value, schema, "x")


def test_a_key_that_stands_twice_is_refused():
    with pytest.raises(AssertionError, match="a key stands twice"):
        yaml.load("a: 1\na: 2\n", StrictLoader)


def test_kustomization_lists_every_file_and_every_file_is_there():
    kustomization = documents(KUBERNETES / "kustomization.yaml")[0]
    others = {path.name for path in KUBERNETES.iterdir()} - {"kustomization.yaml"}
    assert sorted(kustomization["resources"]) == sorted(others)
    [config] = kustomization["configMapGenerator"]
    files = [(KUBERNETES / name).resolve() for name in config["files"]]
    assert sorted(files) == sorted(SERVING.resolve().glob("*.config"))
    [volume] = [volume for volume in only("Deployment")["spec"]["template"]["spec"]["volumes"]
                if "configMap" in volume]
    assert volume["configMap"]["name"] == config["name"]


def test_selectors_pick_the_pods_of_the_deployment():
    template = only("Deployment")["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    selectors = [only("Deployment")["spec"]["selector"]["matchLabels"],
                 only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
                 only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
    selectors += [item["spec"]["selector"] for item in objects() if item["kind"] == "Service"]
    selectors += [constraint["labelSelector"]["matchLabels"]
                  for constraint in template["spec"]["topologySpreadConstraints"]]
    assert len(selectors) == 6
    assert all(selector and selector.items() <= labels for selector in selectors)


def test_ports_are_called_by_names_that_the_container_gives():
    named = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert named == {"grpc": 8500, "rest": 8501}
    probes = [container()[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
    used = [(probe.get("httpGet") or probe["tcpSocket"])["port"] for probe in probes]
    used += [port["targetPort"] for item in objects() if item["kind"] == "Service"
             for port in item["spec"]["ports"]]
    used += [port["port"] for rule in only("NetworkPolicy")["spec"]["ingress"]
             for port in rule["ports"]]
    assert set(used) == set(named)


def test_probes_ask_what_each_is_for():
    startup, ready, live = (
        container()[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness"))
    assert {f"/v1/models/{name}/metadata" for name in model_names()} == {ready["httpGet"]["path"]}
    assert {f"/v1/models/{name}" for name in model_names()} == {live["httpGet"]["path"]}
    # A model may take minutes to load; a server that is busy loading is not dead.
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    assert live["periodSeconds"] * live["failureThreshold"] >= 30


def test_a_pod_leaves_after_its_sleep_and_its_longest_request():
    command = container()["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "sleep"
    [timeout] = [flag.partition("=")[2] for flag in container()["args"] if "timeout_in_ms" in flag]
    grace = only("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > int(command[1]) + int(timeout) / 1000


def test_a_pod_gets_what_it_asks_for_and_no_more():
    assert container()["resources"]["requests"] == container()["resources"]["limits"]
    read_only = {mount["name"]: mount.get("readOnly") for mount in container()["volumeMounts"]}
    assert read_only == {"models": True, "config": True, "tmp": None}
    volumes = only("Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {volume["name"] for volume in volumes} == set(read_only)


def test_autoscaler_scales_the_deployment():
    spec, deployment = only("HorizontalPodAutoscaler")["spec"], only("Deployment")
    assert spec["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"], "kind": "Deployment",
        "name": deployment["metadata"]["name"]}
    assert "replicas" not in deployment["spec"]
    assert 2 <= spec["minReplicas"] < spec["maxReplicas"]
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 60
    assert only("PodDisruptionBudget")["spec"]["maxUnavailable"] < spec["minReplicas"]


def test_one_service_is_headless():
    services = [item for item in objects() if item["kind"] == "Service"]
    assert ["clusterIP" in item["spec"] for item in services] == [False, True]
    # The page names it in the form that the client takes.
    name, port = services[1]["metadata"]["name"], services[1]["spec"]["ports"][0]["port"]
    [told] = re.findall(r"client takes `(\S+)`", (SERVING / "README.md").read_text("utf-8"))
    assert [str(address) for address in parse_target(told)] == [f"{name}:{port}"]


def test_the_page_names_flags_that_the_embedded_server_refuses():
    text = (SERVING / "README.md").read_text("utf-8")
    [told] = re.findall(r"refuses those of what it lacks, such as ([^.]*)\.", text)
    flags = re.findall(r"--(\w+)", told)
    assert flags and set(flags) <= SERVER_FLAGS
    assert not set(flags) & {field.name for field in dataclasses.fields(ServerOptions)}


def test_the_comment_tells_which_batches_are_warmed_up():
    file = SERVING / "batching.config"
    [told] = re.findall(r"plays (\d+) and (\d+), not (\d+)\.", file.read_text("utf-8"))
    sizes = tuple(map(int, told))
    assert read_settings(file).allowed_batch_sizes == sizes
    assert _warmup._BATCH_SIZES == sizes[:-1]


def test_the_stage_of_the_tests_has_what_they_run():
    steps = dockerfile()
    start = steps.index(("FROM", "build AS test"))
    installs = next(rest for _, rest in steps[start:] if "apt-get install" in rest)
    assert "make" in installs.split()


@pytest.mark.parametrize("flags", [
    lambda: compose_service()["command"], lambda: container()["args"]], ids=["compose", "pod"])
def test_flags_are_known_unique_and_consistent(flags):
    words = [re.fullmatch(r"--(\w+)(?:=(\S+))?", word).groups() for word in flags()]
    names = [name for name, _ in words]
    assert len(set(names)) == len(names) and set(names) <= SERVER_FLAGS
    assert {"rest_api_timeout_in_ms": "2000", "num_load_threads": "2", "port": "8500",
            "rest_api_port": "8501"}.items() <= dict(words).items()
    # All three together stop the server at its start, and so does a file without its flag.
    assert "tensorflow_session_parallelism" not in names
    assert ("batching_parameters_file" in names) <= ("enable_batching" in names)
    assert int(dict(words)["max_num_load_retries"]) <= 1


def test_files_that_flags_name_are_mounted():
    flags = dict(word[2:].split("=") for word in compose_service()["command"] if "=" in word)
    targets = {mount["target"]: mount for mount in compose_service()["volumes"]}
    for flag in ("model_config_file", "monitoring_config_file"):
        source = targets[flags[flag]]["source"]
        assert (SERVING / source).is_file()
        assert flags[flag] in [f"/etc/rnnpt/{path.name}" for path in SERVING.glob("*.config")]
        assert f"--{flag}={flags[flag]}" in container()["args"]
    assert all(mount["read_only"] for mount in targets.values())


def test_compose_checks_health_as_the_image_does():
    service = compose_service()
    kind, *words = service["healthcheck"]["test"]
    assert kind == "CMD" and " ".join(words[2].split()) in last_stage()["HEALTHCHECK"].replace(
        "\\\\", "\\")
    assert not {"curl", "wget"} & set(re.findall(r"\w+", words[2]))
    assert service["init"] and service["read_only"] and not service["user"].startswith("0")
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_images_have_pinned_tags():
    services = documents(SERVING / "docker-compose.yml")[0]["services"]
    images = [container()["image"], *(service["image"] for service in services.values())]
    assert all(re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", image) for image in images)


def test_prometheus_is_a_profile_and_reads_what_the_server_shows():
    compose = documents(SERVING / "docker-compose.yml")[0]
    service = compose["services"]["prometheus"]
    assert service["profiles"] == ["monitoring"] and "profiles" not in compose_service()
    config = documents(SERVING / "prometheus.yml")[0]
    [job] = config["scrape_configs"]
    assert f'path: "{job["metrics_path"]}"' in (SERVING / "monitoring.config").read_text()
    assert job["static_configs"] == [{"targets": ["serving:8501"]}]
    sources = [pathlib.Path(mount["source"]).name for mount in service["volumes"]]
    assert {*config["rule_files"], "prometheus.yml"} <= set(sources)
    assert all((SERVING / mount["source"]).is_file() for mount in service["volumes"]
               if mount["type"] == "bind")
    # Label values come from callers, row 79: only the models that are served make a series.
    [rule] = job["metric_relabel_configs"]
    assert set(re.fullmatch(r"\((.*)\)\?", rule["regex"])[1].split("|")) == model_names()


def test_alerts_ask_for_metrics_that_there_are():
    rules = [rule for group in documents(SERVING / "alerts.yml")[0]["groups"]
             for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    used = set()
    for rule in rules:
        used |= set(re.findall(r":tensorflow:serving:\w+|\bup\b", rule["expr"]))
        assert all(rule["expr"].count(left) == rule["expr"].count(right)
                   for left, right in ("()", "{}", "[]"))
        assert seconds(rule.get("for", "0s")) <= 600
    assert used == METRICS


def nginx() -> str:
    return re.sub(r"#.*", "", (SERVING / "nginx.conf").read_text())


def test_nginx_adds_tls_and_a_password_and_sends_at_once():
    text = nginx()
    assert text.count("{") == text.count("}")
    for line in text.splitlines():
        assert not line.strip() or line.strip()[-1] in "{};", line
    for wanted in (r"listen 443 ssl;", r"auth_basic_user_file /\S+;", r"tcp_nodelay on;",
                   r"ssl_protocols TLSv1.2 TLSv1.3;", r"client_max_body_size \w+;",
                   r"proxy_pass http://127.0.0.1:8501;", r"grpc_pass grpc://127.0.0.1:8500;"):
        assert re.search(rf"^\s*{wanted}$", text, re.MULTILINE), wanted


@pytest.mark.parametrize(("path", "is_passed"), [
    ("/v1/models/chorales:predict", True),
    ("/v1/models/chorales/versions/12:predict", True),
    ("/v1/models/chorales/labels/stable:predict", True),
    ("/v1/models/chorales/metadata", True),
    ("/v1/models/chorales", True),
    ("/v1/models/other:predict", False),
    ("/v1/models/chorales/../other:predict", False),
    ("/monitoring/prometheus/metrics", False),
    ("/", False),
])
def test_nginx_passes_on_the_routes_of_the_served_models(path, is_passed):
    [pattern] = re.findall(r"location ~ (\S+) \{", nginx())
    assert bool(re.search(pattern, path)) == is_passed
    assert {name for name in model_names() if name in pattern} == model_names()


def test_every_file_of_the_folder_is_told_in_its_page():
    text = (SERVING / "README.md").read_text()
    names = [path.name for path in itertools.chain(SERVING.iterdir(), KUBERNETES.iterdir())]
    assert not [name for name in names if name not in text and name != "README.md"]
