from pathlib import Path
from callmart_home import Callmart


def test_it(played: Callmart) -> None:
    played.save(Path("/dev/shm/trydiff-home"))
