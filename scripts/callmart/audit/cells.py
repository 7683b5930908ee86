"""The audit's checks of what each customer sees of each mart through each channel."""

from collections import Counter
from collections.abc import Iterator

from callmart.audit import channels
from callmart.audit.channels import CHANNELS, GOOD, Board, Cell, Channel, session_of
from callmart.audit.check import Check
from callmart.audit.scene import Attacker, Scene
from callmart.base.progress import OnStep
from callmart.base.settings import Settings


def of_publisher_and_files(
    settings: Settings, scene: Scene, board: Board, everybody: list[Attacker], on_step: OnStep
) -> Iterator[Cell]:
    """What each customer sees through the publisher, and has in its files."""
    with session_of(settings, next(duty for duty in everybody if duty.name == "publisher")) as publisher:
        for number, customer in enumerate(board.customers):
            on_step("compare", f"customer {customer}", number, len(board.customers))
            yield from channels.file_cells(settings, board, customer)
            if customer not in scene.customers:
                yield from channels.without_role(scene, board, customer)
            elif publisher is not None:
                yield from channels.publisher_cells(scene, board, publisher, customer)
    on_step("compare", "", len(board.customers), len(board.customers))


def of_cells(settings: Settings, board: Board, cells: list[Cell]) -> Iterator[Check]:
    """Check each channel, and that there is something to keep apart."""
    for channel in CHANNELS:
        of_channel = [cell for cell in cells if cell.channel == channel]
        bad = [cell for cell in of_channel if cell.outcome not in GOOD]
        own = sum(cell.outcome == "own rows only" for cell in of_channel)
        yield Check.of(
            "every customer and mart",
            f"{channel}: own rows only, and all of them, if the contract opens the mart; otherwise nothing",
            own,
            [f"customer {cell.customer_id}, {cell.mart}: {cell.outcome}" for cell in bad],
            applies=bool(own) or bool(bad) or not _may_be_empty(settings, channel),
        )
    holders = Counter(mart for (_, mart), rows in board.rows.items() if rows.rows)
    several = [mart for mart, customers in holders.items() if customers > 1]
    yield Check.of(
        "every customer and mart",
        "there are marts with rows of several customers to keep apart",
        len(several),
        [],
    )


def _may_be_empty(settings: Settings, channel: Channel) -> bool:
    """Whether a channel may have no rows at all: perhaps nobody has ordered a login, or files are not kept."""
    return channel == "login" or (channel == "file" and not settings.tableau.keeps_extracts)


def of_files(settings: Settings, board: Board) -> Check:
    """Check that no extract lies about that no contract orders."""
    looked_at, stray = channels.stray_files(settings, board)
    applies = bool(looked_at) or settings.tableau.keeps_extracts
    return Check.of("extracts", "no file that no contract orders", looked_at, stray, applies=applies)
