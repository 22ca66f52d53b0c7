"""What this thread may do: its seccomp filter, its capabilities, its user and PID namespaces.

Source: proc_pid_status(5), fs/proc/array.c, include/linux/proc_ns.h, Linux 6.12. Of /proc/thread-self/status
(since 3.17; filters and capabilities belong to threads) these lines are read:

    CapEff:	000001ffffffffff
    Seccomp:	2
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from thermocline_kernel.errors import Garbled, failure
from thermocline_kernel.host import Host, read_lines

# include/uapi/linux/capability.h
CAP_SYS_ADMIN: Final = 21
CAP_SYS_NICE: Final = 23
# PROC_USER_INIT_INO and PROC_PID_INIT_INO of include/linux/proc_ns.h: the same on every machine.
_INITIAL_NAMESPACES: Final = {"user": "user:[4026531837]", "pid": "pid:[4026531836]"}


class Mode(IntEnum):
    """SECCOMP_MODE_* of include/uapi/linux/seccomp.h."""

    DISABLED = 0
    STRICT = 1
    FILTER = 2


@dataclass(frozen=True, slots=True)
class Rights:
    """What a thread may do. Capabilities count only where the kernel asks for them in the user namespace.

    Of processes it sees those of its PID namespace: in the initial one, all of the machine's.
    """

    mode: Mode
    effective: int
    initial_user_namespace: bool
    initial_pid_namespace: bool

    def has(self, capability: int) -> bool:
        """Whether the capability of that number is effective, in the thread's own user namespace."""
        return bool(self.effective >> capability & 1)

    @property
    def filtered(self) -> bool:
        """Whether a seccomp filter sees this thread's system calls."""
        return self.mode is Mode.FILTER


def own(host: Host) -> Rights:
    """The rights of the calling thread. Raises Unavailable, Failed, or Garbled."""
    path = host.proc / "thread-self" / "status"
    fields = {name: (line, value.strip()) for line, name, value in _fields(host)}
    if "CapEff" not in fields:
        raise Garbled(path, "no line for CapEff")
    line, text = fields["CapEff"]
    if not re.fullmatch(r"[0-9a-f]{1,16}", text):
        raise Garbled(path, f"a set of capabilities expected, found {text!r}", line)
    effective = int(text, 16)
    # A kernel without CONFIG_SECCOMP prints no such line, and then no filter can be there.
    line, text = fields.get("Seccomp", (0, "0"))
    if text not in {str(mode.value) for mode in Mode}:
        raise Garbled(path, f"a mode of seccomp expected, found {text!r}", line)
    return Rights(Mode(int(text)), effective, _in_initial(host, "user"), _in_initial(host, "pid"))


def _fields(host: Host) -> list[tuple[int, str, str]]:
    """Line number, name and value of each line."""
    path = host.proc / "thread-self" / "status"
    fields: list[tuple[int, str, str]] = []
    for number, text in enumerate(read_lines(path), 1):
        name, colon, value = text.partition(":")
        if not colon:
            raise Garbled(path, f"a name, a colon and a value expected, found {text!r}", number)
        fields.append((number, name, value))
    return fields


def _in_initial(host: Host, kind: str) -> bool:
    path = host.proc / "thread-self" / "ns" / kind
    try:
        return str(path.readlink()) == _INITIAL_NAMESPACES[kind]
    except FileNotFoundError:
        # A kernel without CONFIG_USER_NS or CONFIG_PID_NS has one namespace of that kind, and no file for it.
        return True
    except OSError as err:
        raise failure(path, err) from err
