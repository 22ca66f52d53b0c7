"""Debian packages for the nodes: always trixie's, whatever Debian the machine itself runs.

The machine's own mirror is used: its address is read from the machine's apt sources and stays on the machine,
in no part. A private apt configuration keeps trixie's package lists apart from the machine's.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import process
from tests.lab.cache import Cache
from tests.lab.errors import BuildFailed, LabError

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
APT_ETC = Path("/etc/apt")
# How apt says, in the log, that it could not fetch a file.
SILENCE = re.compile(
    r"Could not (?:connect|resolve)|Cannot initiate the connection|Failed to fetch|Connection (?:failed|timed out)"
    r"|Unable to connect|Temporary failure resolving"
)


@dataclass(frozen=True)
class Mirror:
    """Where the machine gets Debian's main archive and its security archive from (URIs)."""

    archive: str
    security: str

    def sources(self) -> list[str]:
        """sources.list lines for the suite of the nodes."""
        signed = f"[signed-by={KEYRING}]"
        return [
            f"deb {signed} {self.archive} {SUITE} main",
            f"deb {signed} {self.archive} {SUITE}-updates main",
            f"deb {signed} {self.security} {SUITE}-security main",
        ]


def parse_sources(text: str, deb822: bool) -> Iterable[tuple[str, str]]:
    """(URI, suite) of every binary source in an apt source file of either format (sources.list(5))."""
    if not deb822:
        for line in text.splitlines():
            words = re.sub(r"\[[^]]*\]", "", line.partition("#")[0]).split()
            if len(words) >= 3 and words[0] == "deb":
                yield words[1], words[2]
        return
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*((?:.*(?:\n[ \t].*)*))", stanza, re.MULTILINE))
        if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes").strip() != "no":
            for uri in fields.get("URIs", "").split():
                for suite in fields.get("Suites", "").split():
                    yield uri, suite


def machine_mirror(etc: Path = APT_ETC) -> Mirror:
    """The mirror that the machine's apt uses. Raises LabError when it names none."""
    found: list[tuple[str, str]] = []
    for file in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if file.is_file() and file.suffix in (".list", ".sources"):
            found += parse_sources(file.read_text(), deb822=file.suffix == ".sources")
    # Others name their suites after Debian's too: rather one that also has what comes between two releases.
    named = [uri for uri, suite in found if suite in ("bookworm", SUITE, "stable", "oldstable")]
    archive = [uri for uri in named if any(u == uri and s.endswith("-updates") for u, s in found)] or named
    security = [uri for uri, suite in found if suite.endswith("-security")]
    if not archive or not security:
        raise LabError(
            "apt's sources name no Debian mirror with a security archive: "
            f"add both to {etc}/sources.list.d/debian.sources"
        )
    return Mirror(archive[0], security[0])


class Apt:
    """Trixie's packages, through a private apt configuration below the cache."""

    def __init__(self, cache: Cache, mirror: Mirror) -> None:
        self._cache = cache
        self._home = cache.root / "apt"
        (self._home / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (self._home / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        (self._home / "status").touch()
        with cache.locked("apt"):
            (self._home / "sources.list").write_text("\n".join(mirror.sources()) + "\n")
        self._mirror = mirror
        self.options = [
            f"-oDir::Etc::SourceList={self._home}/sources.list",
            "-oDir::Etc::SourceParts=/dev/null",
            f"-oDir::State::Lists={self._home}/lists",
            f"-oDir::State::Status={self._home}/status",
            f"-oDir::Cache={self._home}",
            "-oAPT::Architecture=amd64",
            "-oAPT::Sandbox::User=root",
        ]

    def update(self, log: Path) -> None:
        """Fetch trixie's package lists."""
        # apt does not wait for another apt that has the same lists.
        with self._cache.locked("apt"):
            self._run(["apt-get", *self.options, "update", "--error-on=any"], log)

    def download(self, packages: Sequence[str], into: Path, log: Path) -> list[Path]:
        """Fetch packages' files into a folder; their dependencies are not looked at."""
        with self._cache.locked("apt"):
            self._run(["apt-get", *self.options, "download", *packages], log, cwd=into)
        return sorted(into.glob("*.deb"))

    def dependency(self, package: str, pattern: str) -> str:
        """The one dependency of `package` that matches: linux-image-amd64's is the kernel it stands for."""
        listing = process.output_of(["apt-cache", *self.options, "depends", package])
        found = re.search(rf"Depends: ({pattern})$", listing, re.MULTILINE)
        if found is None:
            raise LabError(f"Debian's {package} depends on nothing like {pattern}: its packaging has changed")
        return found[1]

    def bootstrap(
        self,
        packages: Sequence[str],
        into: Path,
        log: Path,
        *,
        variant: str = "minbase",
        hooks: Sequence[str] = (),
    ) -> None:
        """Make a root file system of `packages` and what the variant adds: a folder, or a file named *.tar.

        The variants are mmdebstrap's: `minbase` adds what any Debian has, `extract` nothing, not even scripts.
        """
        self._run(
            [
                "mmdebstrap", f"--variant={variant}", "--mode=root", f"--include={','.join(packages)}",
                '--aptopt=Acquire::Languages "none"',
                "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
                "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/info/*",
                *(f"--customize-hook={hook}" for hook in hooks),
                '--customize-hook=rm -f "$1/etc/apt/sources.list"',
                SUITE, into, *self._mirror.sources(),
            ],
            log,
        )  # fmt: skip

    @staticmethod
    def _run(argv: Sequence[str | Path], log: Path, *, cwd: Path | None = None) -> None:
        try:
            process.run(argv, log=log, cwd=cwd)
        except BuildFailed as err:
            if SILENCE.search(process.tail(log)):
                raise BuildFailed(
                    "Debian's mirror did not answer: check the network and apt's sources, then run it again",
                    log,
                ) from err
            raise


# What decides on a root file system beside its packages, for the keys of parts.
BOOTSTRAP = inspect.getsource(Apt.bootstrap)
