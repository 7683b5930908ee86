"""Workbooks: a site has none, for they can't be published to the emulator yet."""

import sqlite3

from starlette.responses import Response

from callmart.emulator.call import Call, Endpoint
from callmart.emulator.query import page


def query(call: Call) -> Response:
    none: list[sqlite3.Row] = []
    return page(call, "workbooks", none, dict, lambda row: row)


ENDPOINTS = (Endpoint("GET", "/sites/{site}/workbooks", query),)
