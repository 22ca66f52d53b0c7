"""The agent's side of Kubernetes: what its node shall do, whose pods are there, and what it tells of both.

    standing               what of a MemoryTierNode is in force, and for how long
    pods                   pods of the node, with the labels of their namespaces
    writing, writer        whether a status is worth a write now; the thread that writes
    backoff, objects       when to ask again; objects as JSON has them
    api, watch             requests, and objects that are kept current
    client, joining        all of it for one node; by a command line

The loop knows client.py alone, as a PolicySource and a StatusSink.
"""
