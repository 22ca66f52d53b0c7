"""The API in Python: MemoryTierPolicy and MemoryTierNode, what judges them, and the types that they become.

    policy, node                   the two kinds; settings, rule, rollout, selector: what they are made of
    report, conditions, objectmeta what statuses and metadata are made of
    schema                         a CRD's schema: problems of a manifest, and its defaults
    structural, twins, metadata    what schema judges by: bounds, rules across fields (constraint), names
    quantity, duration, ratio      how amounts are written; codec: how dataclasses are
    problem                        what is wrong, in the API server's words

It needs no package, for the operator's image and the agent's both have it: whoever has a YAML parser hands
schema.crd_text to it, and the result to Schema.of.
"""

from typing import Final

__version__: Final = "0.1.0"
