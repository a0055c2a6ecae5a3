"""See and use recorded runs, send those that are unsent: `python -m stages.tracking ui|serve|example|push`."""

import argparse
import json
import os
import sys
from pathlib import Path

from stages import config, store
from stages.command import call_or_exit
from stages.errors import UserError
from stages.tracking.connection import (
    EXPERIMENT,
    connected,
    is_server,
    patiently,
    set_defaults,
    shown_uri,
    tracking_uri,
)
from stages.tracking.known import find
from stages.tracking.push import push
from stages.tracking.records import MODEL
from stages.tracking.runs import run_id_in


def ui(port: int) -> None:
    """Replace this process by MLflow's page of runs, on this machine only."""
    if is_server(tracking_uri()):
        print(f"the runs are on the server of MLFLOW_TRACKING_URI: {shown_uri()}")
        return
    with connected() as mlflow:
        experiment = mlflow.get_experiment_by_name(EXPERIMENT).experiment_id
    # The page of runs: MLflow's own first page is about language models.
    page = f"http://127.0.0.1:{port}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    print(f"{page} shows the runs of {tracking_uri()}; Ctrl+C ends it", flush=True)
    _become("mlflow", "ui", "--backend-store-uri", tracking_uri(), "--host", "127.0.0.1", "--port", str(port))


def serve(port: int, run_file: str | Path) -> None:
    """Replace this process by a server of the latest model, on this machine only."""
    run_id = run_id_in(run_file)
    with connected() as mlflow:
        known = patiently(lambda: find(mlflow.MlflowClient(), run_id))
    if known is None:
        raise UserError(f"{run_file}: found run {run_id}, which {shown_uri()} does not hold; expected a run of it")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    print(
        f"serving the model of run {known}; once it listens, try in another terminal:\n"
        f"{Path(sys.executable).parent / 'python'} -m stages.tracking example | "
        f"curl -H 'Content-Type: application/json' -d @- http://127.0.0.1:{port}/invocations",
        flush=True,
    )
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri()
    model = f"runs:/{known}/{MODEL}"
    _become("mlflow", "models", "serve", "-m", model, "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port))


def example(images_file: str | Path) -> str:
    """The JSON of a request for the embedding of the first test image."""
    import numpy as np

    images = store.load_array(images_file, np.uint8, 4, memory_map=True)
    return json.dumps({"inputs": images[:1].tolist()})


def _become(command: str, *arguments: str) -> None:
    set_defaults()
    # MLflow starts programs of this environment by name.
    programs = Path(sys.executable).parent
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"
    os.execv(programs / command, [command, *arguments])  # noqa: S606 - no shell is wanted


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.tracking", description=__doc__)
    parser.add_argument("action", choices=["ui", "serve", "example", "push"])
    parser.add_argument("--port", type=int, help="where ui and serve listen, on this machine only")
    options = parser.parse_args()
    if options.action in ("ui", "serve") and options.port is None:
        parser.error(f"{options.action} needs --port")

    def act() -> None:
        if options.action == "ui":
            ui(options.port)
            return
        if options.action == "push":
            for line in push():
                print(line, flush=True)
            return
        paths = config.load().paths
        if options.action == "serve":
            serve(options.port, Path(paths.model) / "run.json")
        else:
            print(example(Path(paths.prepared) / "test_images.npy"))

    call_or_exit("tracking", act, debug=False)


if __name__ == "__main__":
    _main()
