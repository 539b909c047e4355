# SPDX-License-Identifier: Apache-2.0
"""Brokers of each version, started once. What cannot be had here is skipped with its reason."""
import os

import pytest

import apache_kafka

# The last of the line that clients of 2023 grew up with, and the line of today.
VERSIONS = os.environ.get("SLUICE_KAFKA_VERSIONS", "3.9.1 4.2.0").split()


@pytest.fixture(scope="session", params=VERSIONS)
def cluster(request, tmp_path_factory, certificates):
    """Apache Kafka with the topics up (3 partitions) and down (2)."""
    try:
        made = apache_kafka.ApacheKafka(tmp_path_factory.mktemp("kafka-" + request.param) / "node", request.param, certificates)
    except apache_kafka.Unavailable as error:
        pytest.skip(str(error))
    try:
        yield made
    finally:
        made.stop()
