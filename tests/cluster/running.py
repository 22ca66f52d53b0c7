"""A running cluster, as tests reach into it: by the lab's command line, as a person would."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.commands import CHECKOUT, LAB, Ended, lab
from tests.lab.cache import digest

IMAGE = "thermocline.dev/agent:dev"
# Another checkout on the machine may be running its tests.
OWN = digest(str(CHECKOUT))[:6]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster by its name."""

    name: str

    def lab(self, *words: str, timeout_seconds: float = 600) -> Ended:
        """Run a command of the lab on this cluster."""
        return lab(*words, env={"THERMOCLINE_LAB": self.name}, timeout_seconds=timeout_seconds)

    def shown(self, *words: str) -> int:
        """Run a command of the lab whose output, progress and all, goes where ours goes; its exit status."""
        environ = {**os.environ, "THERMOCLINE_LAB": self.name}
        return subprocess.run(
            [*LAB, *words], cwd=CHECKOUT, env=environ, stdin=subprocess.DEVNULL, check=False
        ).returncode

    def make(self, target: str) -> str:
        """What one of the Makefile's targets prints that are about a cluster; AssertionError when it fails."""
        # An outer make's options are its own.
        environ = {**os.environ, "THERMOCLINE_LAB": self.name, "MAKEFLAGS": ""}
        done = subprocess.run(
            ["make", target],
            cwd=CHECKOUT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def started(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command of the lab that goes on for as long as the block runs; its output can be read."""
        running = subprocess.Popen(
            [*LAB, *words],
            cwd=CHECKOUT,
            env={**os.environ, "THERMOCLINE_LAB": self.name},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        with running:
            try:
                yield running
            finally:
                running.kill()

    def kubectl(self, *words: str) -> str:
        """What kubectl prints; AssertionError when it fails."""
        return self.lab("kubectl", *words).text

    def get(self, *words: str) -> Any:
        """What `kubectl get WORD…` knows."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def console(self, node: str, *words: str) -> str:
        """What a command prints on a node."""
        return self.lab("console", node, "--", *words).text

    def run(
        self,
        name: str,
        node: str,
        program: str,
        *,
        ready: bool = False,
        namespace: str = "default",
        labels: str | None = None,
    ) -> None:
        """Start a pod that runs a Python program on a node, once; wait until it has ended, or is running."""
        overrides = json.dumps(_override(name, node, program))
        words = ["-n", namespace, f"--overrides={overrides}"]
        if labels is not None:
            words.append(f"--labels={labels}")
        self.kubectl("run", name, f"--image={IMAGE}", "--restart=Never", *words)
        if ready:

            def is_running() -> bool:
                return bool(self.get("pod", name, "-n", namespace)["status"]["phase"] == "Running")

            self.wait(is_running, f"pod {name} on {node}", 240)
        else:
            self.wait_until_over(name)

    def wait_until_over(self, name: str) -> None:
        """Wait until a pod has ended."""
        over = {"Succeeded", "Failed"}
        self.wait(lambda: self.get("pod", name)["status"]["phase"] in over, f"pod {name} to end", 240)

    def wait(self, condition: Callable[[], object], what: str, seconds: float) -> None:
        """Wait until a condition holds; AssertionError when it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s\n{self._events()}"
            time.sleep(0.5)

    def _events(self) -> str:
        return self.kubectl("get", "events,pods,nodes", "-A", "-o", "wide")


def _override(name: str, node: str, program: str) -> Mapping[str, Any]:
    container = {
        "name": name, "image": IMAGE, "imagePullPolicy": "Never",
        "command": ["python3", "-u", "-c", program],
    }  # fmt: skip
    return {"spec": {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0}}
