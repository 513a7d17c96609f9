"""Start and stop of the host as a process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from local.host.process import HostError, HostProcess

from .conftest import Sample, until

REPOSITORY = Path(__file__).parents[3]
APP = "import azure.functions as func\napp = func.FunctionApp()\n"
ROUTE = '@app.route("{}")\ndef answer(req: func.HttpRequest) -> func.HttpResponse: ...\n'


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import not_there_at_all\n", "ModuleNotFoundError"),
        (APP + ROUTE.format("administrators"), "belongs to the host"),
        (APP + ROUTE.format("a/{x:odd}"), "constraint 'odd'"),
    ],
)
def test_an_app_that_cannot_be_hosted_is_said_at_once(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "function_app.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "local.host", "--app-dir", str(tmp_path), "--port", "0"]
    environment = {"PATH": os.defpath}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 1
    assert reason in done.stderr
    assert "ready" not in done.stdout


async def test_a_host_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text("raise RuntimeError('too early')\n", encoding="utf-8")
    with pytest.raises(HostError, match="too early"):
        async with HostProcess(tmp_path, {}):
            pass


async def test_requests_under_way_finish_and_new_ones_are_refused(make_sample: Callable[..., Sample]) -> None:
    async with make_sample().host() as host, httpx.AsyncClient(base_url=host.base_url) as client:
        slow = asyncio.create_task(client.get("/api/blocking?seconds=0.7"))
        await until(lambda: "blocking_began" in host.log_text(), host)
        stopping = asyncio.create_task(host.stop())
        assert (await slow).status_code == 202
        assert await stopping == 0
        with pytest.raises(httpx.ConnectError):
            await client.get("/api/text")


async def test_the_grace_time_is_five_seconds(make_sample: Callable[..., Sample]) -> None:
    async with make_sample().host() as host, httpx.AsyncClient(base_url=host.base_url, timeout=60) as client:
        stuck = asyncio.create_task(client.get("/api/blocking?seconds=60"))
        await until(lambda: "blocking_began" in host.log_text(), host)
        assert await host.stop(timeout_seconds=30) == 0
        with pytest.raises(httpx.TransportError):
            await stuck


def test_settings_file_command_line_and_ready_file(tmp_path: Path) -> None:
    source = """
import os
import azure.functions as func
app = func.FunctionApp()
@app.route("setting/{name}", auth_level=func.AuthLevel.ANONYMOUS)
def setting(req: func.HttpRequest) -> str:
    return os.environ[req.route_params["name"]]
"""
    (tmp_path / "function_app.py").write_text(source, encoding="utf-8")
    (tmp_path / "host.json").write_text('{"extensions": {"http": {"routePrefix": ""}}}', encoding="utf-8")
    values = {"FROM_FILE": "file", "SET_BEFORE": "file", "NUMBER": 5}
    settings = tmp_path / "local.settings.json"
    settings.write_text(json.dumps({"IsEncrypted": False, "Values": values}), encoding="utf-8")
    ready = tmp_path / "ready"
    options = ["--app-dir", str(tmp_path), "--port", "0", "--settings", str(settings), "--ready-file", str(ready)]
    process = subprocess.Popen(
        [sys.executable, "-m", "local.host", *options],
        cwd=REPOSITORY,
        env={"PATH": os.defpath, "SET_BEFORE": "environment"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout as out:
        try:
            lines = [out.readline() for _ in range(3)]
            url = ready.read_text(encoding="utf-8")
            read = [httpx.get(f"{url}/setting/{name}").text for name in ("FROM_FILE", "SET_BEFORE", "NUMBER")]
            own_address = httpx.get(f"{url}/setting/WEBSITE_HOSTNAME").text
        finally:
            process.terminate()
            assert process.wait(10) == 0

    assert lines[0].startswith("LOCAL_FUNCTIONS_KEY=")
    assert lines[2] == f"countersign-host ready {url}\n"
    assert read == ["file", "environment", "5"]
    assert f"http://{own_address}" == url


def test_a_host_does_not_outlive_its_starter(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text(APP + ROUTE.format("a"), encoding="utf-8")
    starter = f"""
import asyncio, os, pathlib, signal
from local.host.process import HostProcess
host = HostProcess(pathlib.Path({str(tmp_path)!r}), {{}})
asyncio.run(host.start())
print(host.base_url, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", starter], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )

    url = done.stdout.strip()
    assert url.startswith("http://127.0.0.1:"), done.stderr
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            httpx.get(url)
        except httpx.TransportError:
            return
        time.sleep(0.05)
    pytest.fail("the host still answers")


async def test_a_preloaded_module_comes_before_the_app(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text(APP + ROUTE.format("a") + "import sys\nprint('early' in sys.modules)\n")
    (tmp_path / "early.py").write_text("print('early module')\n")
    async with HostProcess(tmp_path, {"PYTHONPATH": str(tmp_path)}, preload="early") as host:
        assert host.log_text().startswith("early module\nTrue\n")
