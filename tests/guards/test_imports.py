"""Cold start: what must not be loaded just to have the app's functions."""

from __future__ import annotations

import subprocess
import sys

from local.stack import ROOT

HEAVY = ("pyhanko", "pyhanko_certvalidator", "asn1crypto", "azure.identity", "azure.monitor", "opentelemetry.sdk")


def test_the_app_imports_without_the_heavy_libraries() -> None:
    code = f"import sys, function_app; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
