"""kafka-python understands answers whatever its threads do at the same moment."""

from __future__ import annotations

import gc

from kafka.protocol.api_header import RequestHeader, ResponseClassRegistry
from kafka.protocol.consumer import ListOffsetsResponse

import connectors.kafka_clients


def test_a_response_class_that_two_threads_made_is_still_known() -> None:
    """As if each of two threads had made the class, and the second's had been dropped."""
    assert connectors.kafka_clients.make_consumer
    kept = ListOffsetsResponse[3]
    del ListOffsetsResponse._VERSIONS[3]
    assert ListOffsetsResponse[3] is not kept
    ListOffsetsResponse._VERSIONS[3] = kept
    gc.collect()
    header = RequestHeader(request_api_key=ListOffsetsResponse.API_KEY, request_api_version=3)
    assert ResponseClassRegistry.get_response_class(header) is kept
