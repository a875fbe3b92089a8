"""The tables of the store. What changes one of them is a new step in api/store_steps.py."""

from __future__ import annotations

from sqlalchemy import Column, Integer, MetaData, Table

metadata = MetaData()

versions = Table(
    "tocsin_store",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="always 1: there is one row"),
    Column("version", Integer, nullable=False, comment="how many steps of api/store_steps.py were taken"),
)
