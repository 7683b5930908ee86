"""The emulator's desk, a JSON interface beside the API: faults, passwords, tokens, jobs, the request log, a reset.

Requests need the secret of a server administrator's personal access token as bearer token.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tableau_emulator import faults, jobs
from tableau_emulator.state import State, digest

PATH = "/emulator"


def routes(state: State) -> list[Route]:
    """The routes of the desk on `state`."""
    desk: dict[str, dict[str, Callable[[State, dict[str, Any]], Any]]] = {
        "/faults": {"GET": _pending, "POST": _inject, "DELETE": _clear},
        "/requests": {"GET": _requests},
        "/passwords": {"POST": lambda state, asked: state.set_password(**asked)},
        "/tokens": {"POST": lambda state, asked: state.admit(**asked)},
        "/connected-apps": {"POST": lambda state, asked: state.connect_app(**asked)},
        "/jobs": {"POST": lambda state, asked: jobs.finish(state, **asked)},
        "/state": {"DELETE": lambda state, asked: state.reset()},
    }
    return [
        Route(PATH + path, _answer(state, handlers), methods=list(handlers))
        for path, handlers in desk.items()
    ]


def _answer(
    state: State, handlers: dict[str, Callable[[State, dict[str, Any]], Any]]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        secret = request.headers.get("authorization", "").removeprefix("Bearer ")
        known = state.one(
            "select 1 from token join user on user.id = user_id "
            "where secret_hash = ? and site_role = 'ServerAdministrator'",
            digest(secret),
        )
        if known is None:
            return JSONResponse({"error": "the secret of an administrator's token is needed"}, 401)
        body = await request.body()
        try:
            asked = json.loads(body or b"{}")
            return JSONResponse(handlers["GET" if request.method == "HEAD" else request.method](state, asked))
        except (ValueError, TypeError, KeyError) as error:
            return JSONResponse({"error": str(error)}, 400)

    return answer


def _pending(state: State, _: dict[str, Any]) -> list[dict[str, Any]]:
    return [asdict(fault) for fault in faults.pending(state)]


def _inject(state: State, asked: dict[str, Any]) -> None:
    faults.inject(state, faults.Fault(**asked))


def _clear(state: State, _: dict[str, Any]) -> None:
    faults.clear(state)


def _requests(state: State, _: dict[str, Any]) -> list[dict[str, Any]]:
    return [each._asdict() for each in state.requests()]
