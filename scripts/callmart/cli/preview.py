"""A report on a page that draws itself again while somebody changes the declarations or the drawing code."""

import asyncio
import html
import secrets
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

from callmart.base import disk, sql_file
from callmart.base.declared import Locale
from callmart.base.errors import UserError
from callmart.base.settings import COMMAND, PROJECT, settings
from callmart.cli.terminal import looking, out, tell
from callmart.declarations import exposures
from callmart.declarations.exposures import Report

SQL = sql_file.statements(__file__)
WATCHED = (
    PROJECT / "models",
    PROJECT / "metrics.yml",
    PROJECT / "captions.yml",
    PROJECT / "scripts" / "callmart" / "reports",
)
ENDINGS = (".yml", ".sql", ".py", ".j2", ".typ")
EVERY_S = 0.5
# The answer comes when there is a newer page. A request that breaks off is made again.
RELOAD = """<script>
const again = () => fetch("after/{number}").then(() => location.reload(), () => setTimeout(again, 1000))
again()
</script>"""

app = typer.Typer()


@app.command()
def preview(
    report: Annotated[str, typer.Argument(help="A report that `callmart reports` lists.")],
    customer: Annotated[
        int | None,
        typer.Option(min=1, help="Whose report; by default the first customer's that has data for it."),
    ] = None,
    week: Annotated[
        str | None, typer.Option(metavar="2026-W47", help="The week; by default the last one that is over.")
    ] = None,
    locale: Annotated[Locale | None, typer.Option(help="By default the customer's language.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of this machine; by default a free one.")] = 0,
) -> None:
    """Show a report on a page of this machine, and draw it again whenever a declaration changes, until Ctrl-C."""
    declared = exposures.named(report)
    words = (
        [declared.name, "--customer", str(customer or _first_with_data(declared))]
        + (["--week", week] if week else [])
        + (["--locale", locale] if locale else [])
    )
    draw(words)
    with suppress(KeyboardInterrupt), _listen(port) as listener:  # Ctrl-C is the normal end
        # Others who use this machine can reach the port, and must not see the report.
        secret = secrets.token_urlsafe(16)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/{secret}/"
        out.print(f"preview: {declared.name} of customer {words[2]} at {address} (Ctrl-C ends it)")
        config = uvicorn.Config(
            served(words, secret), log_level="error", access_log=False, timeout_graceful_shutdown=1
        )
        uvicorn.Server(config).run(sockets=[listener])


def draw(words: list[str]) -> bytes:
    """Draw the page by a process of its own, which reads everything anew. `words` are those of `callmart report`.
    Raises UserError if that fails.
    """
    with disk.temporary(settings().home) as folder:
        file = folder / "preview.html"
        done = subprocess.run(
            [COMMAND, "report", *words, "--out", file], capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = done.stderr.splitlines() or [f"callmart report ended with {done.returncode}"]
            raise UserError(said[-1].removeprefix("error: "))
        try:
            return file.read_bytes()
        except FileNotFoundError:  # an erasure empties the folder
            raise UserError("the page was removed while somebody was erased: load it again") from None


def served(words: list[str], secret: str) -> Starlette:
    """The page as a web application, which watches the declarations as long as it runs. It is drawn whenever somebody
    asks for it and not kept: a person could be erased, or a contract end, in the meantime.
    """
    changed = asyncio.Condition()
    changes = 0

    async def show(request: Request) -> HTMLResponse:
        number = changes  # what changes while it is drawn has it drawn again
        try:
            page = await asyncio.to_thread(draw, words)
        except UserError as mistake:
            tell(mistake)
            page = _saying(str(mistake))
        return HTMLResponse(
            page + RELOAD.format(number=number).encode(), headers={"Cache-Control": "no-store"}
        )

    async def wait(request: Request) -> PlainTextResponse:
        async with changed:
            await changed.wait_for(lambda: changes > request.path_params["number"])
        return PlainTextResponse(str(changes))

    async def watch() -> None:
        nonlocal changes
        known = set(_stamps())
        while True:
            await asyncio.sleep(EVERY_S)
            if (now := set(_stamps())) != known:
                known = now
                async with changed:
                    changes += 1
                    changed.notify_all()

    @asynccontextmanager
    async def watching(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(watch())
        yield
        task.cancel()

    return Starlette(
        routes=[Route(f"/{secret}/", show), Route(f"/{secret}/after/{{number:int}}", wait)],
        # A page in a browser must not reach us through a host name that resolves to this machine (DNS rebinding).
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        lifespan=watching,
    )


def _saying(mistake: str) -> bytes:
    return (
        f"<!doctype html><meta charset='utf-8'><title>preview</title><p>{html.escape(mistake)}</p>".encode()
    )


def _stamps() -> Iterator[tuple[Path, int]]:
    """The watched files, and when each was changed."""
    for place in WATCHED:
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.suffix in ENDINGS:
                with suppress(FileNotFoundError):  # an editor is just replacing it
                    yield path, path.stat().st_mtime_ns


def _first_with_data(report: Report) -> int:
    """The first customer whose contract opens a report, and whose marts have rows for it."""
    with looking() as connection:
        for customer_id, option, orders in connection.execute(SQL["with_data"], {"marts": report.marts}):
            if report.is_opened_by(option, orders):
                return int(customer_id)
    raise UserError(
        f"no customer has data for the report {report.name}: run `callmart demo`, or name one with --customer"
    )


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        raise UserError(f"port {port} is not free: name another, or leave --port out") from None
