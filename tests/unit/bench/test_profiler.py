"""From addresses to functions."""

from __future__ import annotations

import pytest

from tests.bench import profiler
from tests.bench.kernel import profiles
from tests.bench.profiler import Profile
from tests.lab.errors import LabError

SYMBOLS = """\
0000000000000000 D per_cpu_start
ffffffff81000000 T _stext
ffffffff81000100 T memcpy_orig
ffffffff81000140 t copy_more
ffffffff82000000 D data
"""


def test_an_address_is_its_functions() -> None:
    counts = "USER 7\nELSEWHERE 0\nffffffff81000100 5\nffffffff8100013f 6\nffffffff81000140 1\n"
    assert profiler.by_function(counts, SYMBOLS) == {"(user)": 7, "memcpy_orig": 11, "copy_more": 1}


def test_a_profile_is_by_the_page() -> None:
    found = Profile(4, {"memcpy_orig": 40, "rest": 60, "little": 1})
    assert (found.total, found.copy) == (25.25, 10)
    row = profiles.row("profile_x", found)
    assert (row.value, row.arms) == (25.2, {"rest": 15.0, "memcpy_orig": 10.0, "little": 0.2})
    assert found.top(1) == {"rest": 15.0}


def test_a_copy_by_another_function_is_not_no_copy() -> None:
    with pytest.raises(LabError, match="copies pages by something else"):
        _ = Profile(4, {"copy_mc_fragile": 40}).copy
