"""Settings shared by every process, read from the environment in one place and validated whole at start."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from connectors.messages import Topics


class KafkaSettings(BaseSettings):
    """Where Kafka is and how the topics are laid out."""

    model_config = SettingsConfigDict(env_prefix="TOCSIN_", frozen=True)

    kafka: Annotated[str, Field(description="bootstrap servers, host:port[,host:port]")] = "127.0.0.1:9092"
    topic_prefix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]+$", description="first part of every topic name")] = (
        "tocsin"
    )
    partitions: Annotated[int, Field(ge=1, le=4096, description="partitions of the topics that have many")] = 8
    replication_factor: Annotated[int, Field(ge=1, le=16, description="replicas of every topic")] = 1
    delivery_timeout_s: Annotated[float, Field(gt=0, description="a send not confirmed by then has failed")] = 30.0

    @property
    def topics(self) -> Topics:
        """All topic names."""
        return Topics(self.topic_prefix)

    @property
    def bootstrap(self) -> list[str]:
        """Bootstrap servers as kafka-python takes them."""
        return [server.strip() for server in self.kafka.split(",") if server.strip()]
