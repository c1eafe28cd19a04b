"""What every page needs: the house, the visitor, his forms, and a template."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, HTTPException, Request
from pydantic import StringConstraints
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.templating import Jinja2Templates

from aioredis_patterns.integrations.asgi import RequestSession

from .house import House

LONGEST_NAME = 100


def house_of(connection: HTTPConnection) -> House:
    """The house whose page is asked for."""
    house: House = connection.app.state.house
    return house


def session_of(connection: HTTPConnection) -> RequestSession:
    """The visitor's session."""
    session: RequestSession = connection.scope["session"]
    return session


def user_of(connection: HTTPConnection) -> str:
    """Who is logged in; whoever is not is sent to the login."""
    user = session_of(connection).user_id
    if user is None:
        raise HTTPException(303, "log in first", {"Location": "/login"})
    return user


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, which must be one of ours."""
    form = dict(parse_qsl((await request.body()).decode(errors="replace")))
    if not session_of(request).csrf_valid(form.get("csrf") or request.headers.get("x-csrf-token")):
        raise HTTPException(403, "this form is not from here, or was open for too long")
    return form


TheHouse = Annotated[House, Depends(house_of)]
Session = Annotated[RequestSession, Depends(session_of)]
User = Annotated[str, Depends(user_of)]
Guest = Annotated[str, StringConstraints(max_length=LONGEST_NAME)]
Form = Annotated[dict[str, str], Depends(form_of)]
A_USER, OUR_FORM = Depends(user_of), Depends(form_of)  # for routes that need no more of them


def known(request: Request) -> dict[str, Any]:
    """What every template may use."""
    session = session_of(request)
    return {"user": session.user_id, "csrf": session.csrf_token}


templates = Jinja2Templates(Path(__file__).parent / "templates", context_processors=[known])


def page(request: Request, name: str, status: int = 200, **values: object) -> HTMLResponse:
    """A page from its template."""
    return templates.TemplateResponse(request, f"{name}.html", values, status)


def go(path: str) -> RedirectResponse:
    """Show another page, after a form."""
    return RedirectResponse(path, 303)
