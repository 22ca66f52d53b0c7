"""Requests to an API server: whatever fails is told as ApiError."""

from __future__ import annotations

import pytest
from kubernetes import client
from kubernetes.config import ConfigException

from thermocline_operator.apply import Api, ApiError


@pytest.mark.parametrize("failure", [OSError("no such file"), ConfigException("an empty token")])
def test_a_token_that_cannot_be_read_is_an_api_error(failure: Exception) -> None:
    def refresh(_: client.Configuration) -> None:
        raise failure

    configuration = client.Configuration()
    configuration.api_key["authorization"] = "old"
    configuration.refresh_api_key_hook = refresh
    with pytest.raises(ApiError, match=str(failure)):
        Api(configuration, "ns").ask("GET", "/version")
