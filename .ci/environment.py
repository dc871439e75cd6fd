"""Makes a virtual environment with a current pip; copes with a Python that lacks ensurepip (Debian's)."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PIP_NEEDED = (25, 1)


def has_ensurepip() -> bool:
    done = subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True, check=False)
    return done.returncode == 0


def newest_pip(directory: str) -> Path:
    """Downloads pip's wheel from the package index that pip would use, and checks its SHA-256."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    request = urllib.request.Request(f"{index}/pip/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        base, listing = answer.url, json.load(answer)
    wheels = [f for f in listing["files"] if f["filename"].endswith(".whl") and not f.get("yanked")]
    final = [f for f in wheels if f["filename"].split("-")[1].replace(".", "").isdigit()]
    best = max(final, key=lambda f: tuple(int(n) for n in f["filename"].split("-")[1].split(".")))
    with urllib.request.urlopen(urllib.parse.urljoin(base, best["url"]), timeout=60) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != best["hashes"]["sha256"]:
        raise SystemExit(f"{best['filename']}: wrong SHA-256; the package index or the way to it is broken")
    wheel = Path(directory, best["filename"])
    wheel.write_bytes(content)
    return wheel


def without_ensurepip(venv: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", venv], check=True)
    with tempfile.TemporaryDirectory() as directory:
        try:
            wheel = newest_pip(directory)
        except (urllib.error.URLError, ValueError, KeyError) as exc:
            raise SystemExit(
                f"{sys.executable} has no ensurepip, and pip could not be downloaded ({exc}).\n"
                "Install Python's venv package (Debian: apt install python3-venv), then run make again."
            ) from None
        python = Path(venv, "bin", "python")
        subprocess.run([python, wheel / "pip", "install", "--quiet", "--no-index", wheel], check=True)


def main(venv: str) -> None:
    python = Path(venv, "bin", "python")
    if (
        not python.exists()
        or subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode
    ):
        shutil.rmtree(venv, ignore_errors=True)
        if has_ensurepip():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        else:
            without_ensurepip(venv)
    version = subprocess.run(
        [python, "-c", "import pip; print(pip.__version__)"], capture_output=True, text=True, check=True
    )
    if tuple(int(n) for n in version.stdout.strip().split(".")[:2]) < PIP_NEEDED:
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--upgrade", "pip"], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
