"""Child processes that cannot outlive the lab.

Everything that the lab starts and waits for runs in a PID and mount namespace of its own whose first
process dies with the lab, whatever kills the lab: the kernel then kills all that it had started and drops
what it had mounted. So nothing has to be remembered, and nothing can be forgotten.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.errors import BuildFailed, LabError

_running: set[subprocess.Popen[bytes]] = set()
_guard = threading.Lock()


# Nobody writes to this pipe, and nobody but this process could: it ends when this process does. Whoever starts
# a confined command passes the reading end on to it.
LIFELINE, _OURS = os.pipe()
# bash: go on with the words, unless the lab has ended.
_GO_ON = 'read -t 0 -u "$0" && exit 1; exec "$@"'


def confined(argv: Sequence[str | Path]) -> list[str]:
    """The command that runs `argv` so that it dies with this process; its Popen needs pass_fds=(LIFELINE,).

    setpriv asks the kernel to kill unshare when the lab dies; unshare asks the same for its child, the first
    process of the new PID namespace (util-linux 2.38, prctl(2) PR_SET_PDEATHSIG). Who asks after the death is told
    nothing, so both look at the lifeline when they have asked.
    """
    go_on = ["bash", "-c", _GO_ON, str(LIFELINE)]
    return [
        "setpriv", "--pdeathsig", "KILL", *go_on,
        "unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", *go_on,
        *map(str, argv),
    ]  # fmt: skip


def run(
    argv: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a build tool to its end, its output appended to `log`. Raises BuildFailed when it fails."""
    words = [str(word) for word in argv]
    with log.open("ab") as output:
        output.write(f"+ {' '.join(words)}\n".encode())
        output.flush()
        with subprocess.Popen(
            confined(words),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            pass_fds=(LIFELINE,),
        ) as child:
            with _guard:
                _running.add(child)
            try:
                child.wait()
            finally:
                with _guard:
                    _running.discard(child)
    if child.returncode != 0:
        raise BuildFailed(f"`{words[0]}` failed with status {child.returncode}", log)


def stop_all() -> None:
    """Kill every build tool that is running, in whichever thread; its run() then raises BuildFailed."""
    with _guard:
        for child in _running:
            child.kill()


def output_of(argv: Sequence[str | Path], *, cwd: Path | None = None) -> str:
    """What a short command prints. Raises LabError, with its complaint, when it fails."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd, check=False
        )
    except FileNotFoundError as err:
        raise LabError(f"`{words[0]}` is not installed: install it with apt-get") from err
    if done.returncode != 0:
        complaint = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise LabError(f"`{' '.join(words)}` failed: {complaint[-1] if complaint else 'without a word'}")
    return done.stdout


def tail(path: Path, lines: int = 40) -> str:
    """The last lines of a log or a console; nothing when there is none. Bytes that are no text are replaced."""
    try:
        with path.open(encoding="utf-8", errors="replace", newline=None) as file:
            return "".join(deque(file, maxlen=lines))
    except FileNotFoundError:
        return ""
