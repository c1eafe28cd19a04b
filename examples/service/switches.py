"""A feature flag: a tenth off, for a part of the guests that can grow while the service runs."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response

from .database import GUESTS
from .web import A_USER, Form, TheHouse, User, go, page

router = APIRouter()


@router.get("/switches", dependencies=[A_USER])
async def switches(request: Request, house: TheHouse) -> Response:
    """Who has the discount now."""
    flag = await house.flags.get("discount")
    on = [guest for guest in GUESTS if await house.flags.enabled("discount", guest)]
    return page(request, "switches", percentage=flag.percentage if flag else 0, on=on)


@router.post("/switches")
async def switch(form: Form, user: User, house: TheHouse) -> Response:
    """Give the discount to so many."""
    try:
        await house.flags.set("discount", percentage=float(form.get("percentage", "")), by=user)
    except ValueError:
        raise HTTPException(422, "a percentage is a number from 0 to 100") from None
    return go("/switches")
