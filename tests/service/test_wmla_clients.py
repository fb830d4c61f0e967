"""WMLA's clients against `hpo-engine serve`, over TLS with a certificate of its own making, as users of the service: the
example's notebooks of both generations, and its script with IBM's SDK."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import Serving, serving

EXAMPLE = Path(__file__).parents[2] / "examples" / "wmla_rest"
PASSWORD = "a long password of ann"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    ledger = str(tmp_path_factory.mktemp("ledger"))
    root = tmp_path_factory.mktemp("root")
    with serving(root, "--tls", env={"HPO_ENGINE_LEDGER": ledger}, ann=PASSWORD) as service:
        yield service


def run(script: str, service: Serving, folder: Path) -> str:
    """What the script of the example prints, with nothing changed but the host and the credentials."""
    env = {**os.environ, "WMLA_HOST": service.url, "WMLA_USER": "ann", "WMLA_PASSWORD": PASSWORD}
    argv = [sys.executable, str(EXAMPLE / script)]
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_notebook_of_1_2(service: Serving, tmp_path: Path) -> None:
    printed = run("notebook_1_2.py", service, tmp_path)
    assert "submitted ann-hpo-" in printed and ": FINISHED, 6/6" in printed
    assert "epoch 30 loss" in printed and "removed: 204" in printed
    (result,) = tmp_path.glob("ann-*.zip")
    with zipfile.ZipFile(result) as archive:
        assert {"config.json", "val_dict_list.json", "model/line.json"} <= set(archive.namelist())
    assert f"{result.stat().st_size} of {result.stat().st_size} bytes" in printed


@pytest.mark.slow
def test_notebook_of_cloud_pak_for_data(service: Serving, tmp_path: Path) -> None:
    printed = run("notebook_cpd.py", service, tmp_path)
    assert "submitted {'uid': 'ann-hpo-" in printed and "FINISHED 4/4 of Tpe" in printed
    assert "[('hpo', 'FINISHED'), ('hpo', 'FINISHED'), ('hpo', 'FINISHED'), ('hpo', 'FINISHED')]" in printed
    assert "FINISHED epoch 5 loss" in printed and printed.count("removed: 204") == 2


@pytest.mark.slow
def test_sdk(service: Serving, tmp_path: Path) -> None:
    pytest.importorskip("ibm_wmla")
    printed = run("sdk.py", service, tmp_path)
    assert "submitted {'uid': 'ann-hpo-" in printed and "FINISHED 3/3" in printed and "epoch 30 loss" in printed
