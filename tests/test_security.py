"""No settings, data or model file makes this project run code, and its servers answer this machine alone."""

import ast
import functools
import itertools
import re
import sys
from pathlib import Path

import keras
import pytest

from stages.errors import UserError
from stages.train.targets import build
from tests.audit import verdict
from tests.repository import ROOT

STAGES = ROOT / "stages"
NOT_CALLED = (
    *("eval", "exec", "compile", "__import__", "input"),
    *(
        "os.system",
        "os.popen",
        "os.execvp",
        "os.spawnv",
        "os.posix_spawn",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
    ),
    *("keras.config.enable_unsafe_deserialization", "keras.layers.Lambda", "hydra.utils.instantiate"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "joblib.load", "torch.load"),
)
NOT_IMPORTED = (
    "pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "jsonpickle",
    "runpy",
    "code",
)


@functools.cache
def trees():
    """Every module of the stages, parsed, by its path."""
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in STAGES.rglob("*.py")}


@functools.cache
def calls():
    """Each call in them: its place, the dotted name that is called, by the names of its imports, and the call."""
    found = []
    for file, tree in trees().items():
        names: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.asname: alias.name for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom):
                names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                first, dot, rest = ast.unparse(node.func).partition(".")
                found.append((f"{file}:{node.lineno}", names.get(first, first) + dot + rest, node))
    return found


def given(call, argument):
    """The value of a named argument: a constant, or the code that computes it; None where it is not named."""
    for keyword in call.keywords:
        if keyword.arg == argument:
            return keyword.value.value if isinstance(keyword.value, ast.Constant) else ast.unparse(keyword.value)
    return None


def test_the_scans_see_the_calls_that_they_judge():
    names = {name for _, name, _ in calls()}
    assert {"numpy.load", "keras.models.load_model", "yaml.safe_load", "subprocess.run", "_become"} <= names


def test_no_call_runs_a_string_or_loads_objects():
    assert [(place, name) for place, name, _ in calls() if name in NOT_CALLED] == []


def test_nothing_is_imported_that_loads_code_from_data():
    for file, tree in trees().items():
        for node in ast.walk(tree):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in modules if name.split(".")[0] in NOT_IMPORTED], file


def test_arrays_are_read_and_written_without_objects():
    for place, name, call in calls():
        if name in ("numpy.load", "numpy.save", "numpy.savez", "numpy.savez_compressed"):
            assert given(call, "allow_pickle") is False, place
        assert given(call, "allow_pickle") in (None, False), place


def test_models_are_loaded_without_code():
    for place, name, call in calls():
        if name.endswith(".load_model"):
            assert given(call, "safe_mode") is True, place
        assert given(call, "safe_mode") in (None, True), place


def test_yaml_is_read_by_safe_loaders():
    for file, tree in trees().items():
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        bases = [ast.unparse(base) for node in classes for base in node.bases]
        assert not [base for base in bases if base.endswith("Loader") and base != "yaml.SafeLoader"], file


def test_commands_are_lists_without_a_shell():
    for place, name, call in calls():
        assert given(call, "shell") in (None, False), place
        if name.startswith("subprocess."):
            assert isinstance(call.args[0], ast.List | ast.Name), place


def test_servers_listen_on_this_machine_alone():
    servers = []
    for place, name, call in calls():
        words = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        hosts = [value for option, value in itertools.pairwise(words) if option in ("--host", "-h")]
        hosts += [host] if (host := given(call, "host")) else []
        assert set(hosts) <= {"127.0.0.1"}, place
        if name == "_become" or name.endswith("server.configure"):  # MLflow's pages, MLflow's models, TensorBoard
            assert hosts, place
            servers.append(place)
    assert len(servers) == 3
    texts = [ast.unparse(tree) for tree in trees().values()] + [(ROOT / "Makefile").read_text("utf-8")]
    assert not [text for text in texts if "0.0.0.0" in text]
    assert not re.search(r"--host|--bind|http\.server|mlflow (ui|server)|tensorboard ", texts[-1])


@pytest.fixture
def intruders(tmp_path, monkeypatch):
    """Modules on Python's path, as files in the folder that a stage runs in are; each leaves a mark when imported."""
    mark = tmp_path / "imported"
    for name in ("intruder", "keras_hub", "torch_xla", "data/intruder", "stages_intruder", "kerasx"):
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(
            f"import keras, pathlib\npathlib.Path({str(mark)!r}).touch()\n"
            "class Net(keras.layers.Layer):\n    pass\ndef net(**_):\n    return keras.Sequential()\n",
            encoding="utf-8",
        )
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield mark
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("intruder", "keras_hub", "torch_xla", "data", "stages_intruder", "kerasx", "own"):
            del sys.modules[name]


ALLOW = "to allow it, add it to allowed_targets"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        # Not Keras's, and not imported.
        ("os.system", ALLOW),
        ("builtins.eval", ALLOW),
        ("subprocess.Popen", ALLOW),
        ("intruder.net", ALLOW),
        ("intruder.Net", ALLOW),
        ("data.intruder.Net", ALLOW),
        ("stages_intruder.Net", ALLOW),
        ("kerasx.Net", ALLOW),
        ("this.s", ALLOW),
        ("antigravity.geohash", ALLOW),
        # They begin with keras.
        ("keras.src.utils.file_utils.tarfile.open", ALLOW),
        ("keras.src.utils.file_utils.os.system", ALLOW),
        ("keras.src.utils.module_utils.importlib.import_module", ALLOW),
        ("keras.src.utils.module_utils.torch_xla.Net", "does not exist"),
        ("keras.src.utils.no_such_module.X", "does not exist"),
        ("keras.utils.get_file", ALLOW),
        ("keras.models.load_model", ALLOW),
        ("keras.saving.deserialize_keras_object", ALLOW),
        ("keras.config.enable_unsafe_deserialization", ALLOW),
        ("keras.layers.Layer.from_config", "does not exist"),
        ("keras.backend.backend", ALLOW),
        # This project's, but no builders.
        ("stages.train.trusted._import", ALLOW),
        ("stages.train.trusted.resolve", ALLOW),
        ("stages.train.trusted.importlib.import_module", ALLOW),
        ("stages.train.targets.build", ALLOW),
        ("stages.train.curves.write", ALLOW),
        ("stages.train.curves.store.save_text", ALLOW),
        ("stages.train.stage.run", ALLOW),
        ("stages.train.__main__.main", ALLOW),
        ("stages.store.save_text", ALLOW),
        ("stages.prepare.__main__.main", ALLOW),
        ("stages.sweep.preset.write", ALLOW),
        # No paths.
        ("", "expected a dotted path"),
        ("keras", "expected a dotted path"),
        ("keras..layers.Dense", "expected a dotted path"),
        ("keras.layers.Dense()", "expected a dotted path"),
        ("__import__('os').system", "expected a dotted path"),
        (["keras", "Model"], "expected a dotted path"),
        (7, "expected a dotted path"),
        (None, "expected a dotted path"),
    ],
)
def test_a_target_is_judged_by_what_it_is_before_anything_is_imported(intruders, target, message):
    before = set(sys.modules)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        build({"_target_": target, "command": f"touch {intruders}", "name": "x"}, "network", input_shape=(8, 8, 1))
    assert str(caught.value).startswith(f"network._target_: found {target!r}, ")
    assert "\n" not in str(caught.value)
    assert not intruders.exists()
    imported = {name for name in set(sys.modules) - before if not name.startswith(("keras.", "stages.train."))}
    assert imported & {"this", "antigravity", "intruder", "stages_intruder", "kerasx", "torch_xla", "data"} == set()


FOREIGN = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
WHERE_DEFINED = [f"{getattr(keras.layers, name).__module__}.{name}" for name in FOREIGN]


@pytest.mark.parametrize("target", [*(f"keras.layers.{name}" for name in FOREIGN), *WHERE_DEFINED])
def test_layers_that_run_foreign_code_are_refused(target):
    section = {"_target_": target, "function": "os.system"}
    for key, nested in (("", section), (".layer", {"_target_": "keras.layers.TimeDistributed", "layer": section})):
        with pytest.raises(
            UserError, match=f"network{key}._target_: found '{target}', a layer that runs code .*{ALLOW}"
        ):
            build(nested, "network")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"_target_": "keras.optimizers.Adam", "learning_rate": {"_target_": "intruder.net"}},
            "network.learning_rate._target_: found 'intruder.net', expected a Keras",
        ),
        (
            {"_target_": "keras.Sequential", "layers": [{"_target_": "keras.layers.Lambda"}]},
            r"network.layers\[0\]: found a mapping with _target_ 'keras.layers.Lambda'; expected plain values",
        ),
        (
            {
                "_target_": "keras.layers.Dense",
                "units": 2,
                "activation": {"class_name": "Net", "module": "keras_hub", "config": {}, "registered_name": "Net"},
            },
            "network.activation: found a mapping with class_name 'Net'",
        ),
        (
            {"_target_": "keras.layers.Pipeline", "layers": [{"a": [{"class_name": "Lambda"}]}]},
            r"network.layers\[0\].a\[0\]: found a mapping with class_name 'Lambda'",
        ),
    ],
)
def test_no_object_hides_in_the_arguments(intruders, section, message):
    with pytest.raises(UserError, match=message):
        build(section, "network")
    assert not intruders.exists()


def own_module(text):
    Path("own.py").write_text(f"import keras\n{text}", encoding="utf-8")


def test_allowing_one_function_allows_no_other(intruders):
    own_module("def net():\n    return keras.Sequential()\ndef other():\n    return keras.Sequential()\n")
    assert isinstance(build({"_target_": "own.net"}, "network", allowed=["own.net"]), keras.Sequential)
    for target in ("own.other", "own.net.__globals__", "own"):
        with pytest.raises(UserError, match="found 'own"):
            build({"_target_": target}, "network", allowed=["own.net"])
    assert not intruders.exists()


def test_a_network_that_could_not_be_loaded_again_is_refused_before_it_is_trained(intruders):
    own_module(
        "def net():\n"
        "    inner = keras.Sequential([keras.layers.TimeDistributed(keras.layers.Lambda(abs, name='absolute'))])\n"
        "    return keras.Sequential([keras.Input((2, 3)), inner])\n"
    )
    with pytest.raises(UserError, match="network: own.net gives a network with the layer 'absolute', a Lambda, which"):
        build({"_target_": "own.net"}, "network", allowed=["own.net"])


@pytest.mark.parametrize(
    "annotation", ["", "-> keras.Model", "-> 'keras.Model'", "-> keras.Sequential"]
)  # fmt: skip
def test_a_function_put_into_stages_train_is_a_builder(tmp_path, monkeypatch, annotation):
    import stages.train

    (tmp_path / "my_networks.py").write_text(
        f"import keras\ndef wide(input_shape){annotation}:\n    return keras.Sequential([keras.Input(input_shape)])\n"
        "def listed() -> list:\n    return []\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(stages.train, "__path__", [str(tmp_path)])
    monkeypatch.setattr("stages.train.trusted._FOLDERS", (tmp_path.resolve(),))
    monkeypatch.delitem(sys.modules, "stages.train.my_networks", raising=False)
    model = build({"_target_": "stages.train.my_networks.wide"}, "network", input_shape=(4,))
    assert isinstance(model, keras.Sequential)
    with pytest.raises(UserError, match="or a builder in stages/train/"):
        build({"_target_": "stages.train.my_networks.listed"}, "network")
    monkeypatch.delitem(sys.modules, "stages.train.my_networks")
    vars(stages.train).pop("my_networks", None)


def test_an_audit_is_clean_only_if_every_package_was_judged():
    clean = {"name": "a", "version": "1", "vulns": []}
    fault = {"id": "PYSEC-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2"]}
    assert verdict({"dependencies": [clean, clean]}) == (["2 packages of requirements.lock: no known vulnerability"], 0)
    lines, status = verdict({"dependencies": [clean, {"name": "b", "version": "1", "vulns": [fault]}]})
    assert (lines[0], status) == ("b 1: PYSEC-1 CVE-2026-1, mended in 2", 1)
    lines, status = verdict({"dependencies": [clean, {"name": "c", "skip_reason": "not found"}]})
    assert (lines[0], status) == ("c: not judged: not found", 1)
    assert verdict({"dependencies": []})[1] == 1
