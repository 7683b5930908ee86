"""A request for access, from the plan to the letter, with a real package and the real register."""

import io
import json
import zipfile
from pathlib import Path

import pyrage
import pytest

from callmart.base.person import Work
from callmart.privacy import reporting
from erasures import NAMED, key_of, of


def test_report(work: Work) -> None:
    for one in reporting.kept(work.connection, work.settings, NAMED):
        print(one)
