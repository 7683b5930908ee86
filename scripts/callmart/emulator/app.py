"""The emulator as a web application: each resource's endpoints behind sign-in, errors as the API has them."""

import re
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from callmart.emulator import datasources, groups, permissions, projects, sessions, uploads, workbooks, xml
from callmart.emulator.call import Call, Endpoint
from callmart.emulator.errors import ApiError, unknown_resource
from callmart.emulator.state import LoggedRequest, State

RESOURCES = (sessions, projects, groups, permissions, datasources, uploads, workbooks)
IDENTITY_PATH = "/callmart-emulator"


def application(state: State, identity: str) -> Starlette:
    """The application on `state`; it names its `identity` to whoever asks for it."""

    async def identify(request: Request) -> Response:
        return JSONResponse({"identity": identity})

    async def log(request: Request, proceed: RequestResponseEndpoint) -> Response:
        response = await proceed(request)
        size = int(request.headers.get("content-length", 0))
        state.log(LoggedRequest(request.method, request.url.path, response.status_code, size))
        return response

    endpoints = [endpoint for module in RESOURCES for endpoint in module.ENDPOINTS]
    return Starlette(
        routes=[
            Route(IDENTITY_PATH, identify),
            *(
                Route("/api/{version}" + each.path, _answer(state, each), methods=[each.method])
                for each in endpoints
            ),
        ],
        # for programs on this machine: a page in a browser must not reach us by a name of its own
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]),
            Middleware(BaseHTTPMiddleware, dispatch=log),
        ],
        exception_handlers={HTTPException: _unroutable},
    )


def _answer(state: State, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        body = await request.body()
        try:
            _check_version(request)
            # one request at a time, each a transaction: either all of it happened or nothing
            with state.transaction():
                return endpoint.handler(_call(state, endpoint, request, body))
        except ApiError as error:
            return xml.failure(error)

    return answer


def _call(state: State, endpoint: Endpoint, request: Request, body: bytes) -> Call:
    path = request.path_params
    key = request.headers.get("x-tableau-auth", "")
    return Call(
        state=state,
        address=f"{request.url.scheme}://{request.url.netloc}",
        path=path,
        query=request.query_params,
        body=body,
        content_type=request.headers.get("content-type", ""),
        user_id="" if endpoint.public else sessions.authenticate(state, key, path.get("site")),
        session_key=key,
    )


def _check_version(request: Request) -> None:
    asked = re.fullmatch(r"(\d+)\.(\d+)", request.path_params["version"])
    newest = tuple(int(part) for part in xml.VERSION.split("."))
    if asked is None or not (2, 4) <= (int(asked[1]), int(asked[2])) <= newest:
        raise unknown_resource(request.url.path)


async def _unroutable(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        return xml.failure(ApiError(405, "000", f"{request.method} is not a method of '{request.url.path}'."))
    return xml.failure(unknown_resource(request.url.path))
