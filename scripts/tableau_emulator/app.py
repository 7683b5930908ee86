"""The emulator as a web application: all resources' endpoints behind sign-in, answers in the form that is asked for."""

import re
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tableau_emulator import (
    catalogue,
    connections,
    custom_views,
    datasources,
    desk,
    faults,
    favorites,
    forms,
    groups,
    jobs,
    permissions,
    pictures,
    projects,
    quality_warnings,
    revisions,
    schedules,
    sessions,
    sites,
    subscriptions,
    tags,
    tasks,
    uploads,
    users,
    views,
    workbooks,
    xml,
)
from tableau_emulator.call import Call, Endpoint
from tableau_emulator.drawing import Draw
from tableau_emulator.errors import ApiError, unknown_resource
from tableau_emulator.state import LoggedRequest, State

RESOURCES = (
    sessions, sites, users, groups, projects, permissions, datasources, workbooks, views, connections, revisions,
    tags, favorites, uploads, jobs, schedules, tasks, subscriptions, custom_views, quality_warnings, catalogue,
)  # fmt: skip
IDENTITY_PATH = desk.PATH


def application(state: State, identity: str, draw: Draw | None) -> ASGIApp:
    """The application on `state`. It tells its `identity` to anyone who asks. `draw` makes its pictures."""

    async def identify(request: Request) -> Response:
        return JSONResponse({"identity": identity})

    index = faults.Index(state)
    endpoints = [endpoint for module in RESOURCES for endpoint in module.ENDPOINTS]
    app = Starlette(
        routes=[
            Route(IDENTITY_PATH, identify),
            *desk.routes(state),
            *(
                Route("/api/{version}" + each.path, _answer(state, index, each, draw), methods=[each.method])
                for each in endpoints
            ),
        ],
        # A page in a browser must not reach us through a host name that resolves to this machine (DNS rebinding).
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        exception_handlers={HTTPException: _unroutable, Exception: _broken},
    )
    app.router.redirect_slashes = False
    return _logged(app, state)


def _logged(app: ASGIApp, state: State) -> ASGIApp:
    """The application, with a log of requests, written before the answer is sent. Status 0 means no answer."""

    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        def log() -> None:
            size = int(Headers(scope=scope).get("content-length", 0))
            if not scope["path"].startswith(desk.PATH):
                state.log(LoggedRequest(scope["method"], scope["path"], status, size))

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                log()
            await send(message)

        scope[faults.CONNECTION] = getattr(send, "__self__", None)
        await app(scope, receive, sent)
        if not status:
            log()

    return logged


def _answer(
    state: State, index: faults.Index, endpoint: Endpoint, draw: Draw | None
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        body = await request.body()
        fault, response = await faults.before(state, request)
        if response is None:
            try:
                _check_version(request)
                response = _handle(state, index, endpoint, request, body)
                if isinstance(response, pictures.Picture):
                    response = await pictures.drawn(response, draw)  # meanwhile other requests are answered
            except ApiError as error:
                response = xml.failure(error)
        return faults.after(fault, _formed(request, response))

    return answer


def _handle(state: State, index: faults.Index, endpoint: Endpoint, request: Request, body: bytes) -> Response:
    index.refresh()
    # One request at a time, each in one transaction: it happens completely or not at all.
    with state.transaction():
        call = _call(state, endpoint, request, body)
        with index.reading(request.method, request.url.path) if endpoint.lists else nullcontext():
            response = endpoint.handler(call)
    if request.method != "GET":
        index.wrote()
    return response


def _call(state: State, endpoint: Endpoint, request: Request, body: bytes) -> Call:
    path = request.path_params
    key = request.headers.get("x-tableau-auth", "")
    return Call(
        state=state,
        address=f"{request.url.scheme}://{request.url.netloc}",
        method=request.method,
        url_path=request.url.path,
        path=path,
        query=request.query_params,
        body=body,
        content_type=request.headers.get("content-type", ""),
        signed_in=None if endpoint.public else sessions.authenticate(state, key, path.get("site"), endpoint),
        session_key=key,
    )


def _check_version(request: Request) -> None:
    if request.path_params["version"] == xml.EXPERIMENTAL:
        return
    asked = re.fullmatch(r"(\d+)\.(\d+)", request.path_params["version"])
    newest = tuple(int(part) for part in xml.VERSION.split("."))
    if asked is None or not (2, 4) <= (int(asked[1]), int(asked[2])) <= newest:
        raise unknown_resource(request.url.path)


def _formed(request: Request, response: Response) -> Response:
    return forms.answer(response, ", ".join(request.headers.getlist("accept")))


async def _broken(request: Request, error: Exception) -> Response:
    return _formed(request, xml.failure(ApiError(500, "000", "The emulator failed; its log says why.")))


async def _unroutable(request: Request, error: Exception) -> Response:
    failure = unknown_resource(request.url.path)
    if isinstance(error, HTTPException) and error.status_code == 405:
        failure = ApiError(405, "000", f"{request.method} is not a method of '{request.url.path}'.")
    return _formed(request, xml.failure(failure))
