"""Logging in and out, on one device and on all; profiles, from a cache that is written with the database."""

from __future__ import annotations

from math import ceil

from fastapi import APIRouter, HTTPException, Request, Response

from .web import LONGEST_NAME, OUR_FORM, Form, Guest, Session, TheHouse, User, go, page

router = APIRouter()

BROWSERS = ("Firefox", "Chrome", "Safari")
SYSTEMS = ("Android", "iPhone", "Windows", "Mac", "Linux")


@router.get("/login")
async def login_page(request: Request) -> Response:
    """The form."""
    return page(request, "login")


@router.post("/login")
async def login(request: Request, form: Form, session: Session, house: TheHouse) -> Response:
    """Begin a session, if the password is right and was not guessed too often."""
    name = form.get("name", "").lower()[:LONGEST_NAME]
    decision = await house.logins.hit(name or "nobody")
    if not decision:
        answer = page(request, "login", 429, problem="Too many tries. Have a cup of tea first.")
        answer.headers["Retry-After"] = str(ceil(decision.retry_after))
        return answer
    if not await house.database.knows(name, form.get("password", "")):
        return page(request, "login", 403, problem="No such guest, or another password.")
    await session.login(name, device=device(request.headers.get("user-agent", "")))
    return go(f"/guests/{name}")


@router.post("/logout", dependencies=[OUR_FORM])
async def logout(session: Session) -> Response:
    """End this session."""
    await session.logout()
    return go("/")


@router.post("/logout-elsewhere", dependencies=[OUR_FORM])
async def logout_elsewhere(user: User, session: Session, house: TheHouse) -> Response:
    """End all sessions of the user but this one."""
    await house.sessions.revoke_all(user, keep=session.stored.token if session.stored else None)
    return go(f"/guests/{user}")


@router.get("/guests/{name}")
async def profile(request: Request, name: Guest, session: Session, house: TheHouse) -> Response:
    """A guest's page: loaded from the database once, and from then on out of the cache."""
    guest = await house.profiles.get_or_load(name, house.database.profile)
    if guest is None:
        raise HTTPException(404, "no such guest")
    devices = await house.sessions.list(name) if session.user_id == name else ()
    reads = house.database.profiles_read
    return page(request, "guest", guest=guest, devices=devices, reads=reads, here=session.stored)


@router.post("/guests/{name}")
async def change_profile(name: str, form: Form, user: User, house: TheHouse) -> Response:
    """Change one's own page, in the database and in the cache."""
    if name != user:
        raise HTTPException(403, "this is somebody else")
    await house.write_profile.set(name, {"name": name, "about": form.get("about", "")[:200]})
    return go(f"/guests/{name}")


def device(agent: str) -> str:
    """What a browser says of itself, in words for its user."""
    browser = next((word for word in BROWSERS if word in agent), agent[:30] or "something")
    system = next((f" on {word}" for word in SYSTEMS if word in agent), "")
    return browser + system
