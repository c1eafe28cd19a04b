"""Orders: taken once however often they are sent, put into a queue, and done one at a time for each tea."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.responses import JSONResponse

from aioredis_patterns import Lock

from .house import House
from .web import Form, Session, TheHouse, User, page

router = APIRouter()


@router.get("/")
async def shop(request: Request, session: Session, house: TheHouse) -> Response:
    """The teas, and what the user has ordered."""
    user = session.user_id
    discount = await house.flags.enabled("discount", user or "nobody")
    orders = await house.database.orders(user) if user else []
    return page(request, "shop", stock=await house.database.stock(), orders=orders, discount=discount)


@router.post("/orders")
async def order(form: Form, user: User, house: TheHouse) -> Response:
    """Take an order; with an `Idempotency-Key` it is taken once, as the middleware sees to.

    Where Redis fails between the two steps, `open_house` puts the order into the queue when the service starts again.
    """
    tea = form.get("tea", "")
    if await house.database.left(tea) is None:
        raise HTTPException(404, "this tea is not sold here")
    number = await house.database.add_order(user, tea)
    await house.orders.put(number, dedup=f"order:{number}")
    return JSONResponse({"order": number, "tea": tea}, 202)


async def fulfil(house: House, number: int) -> None:
    """What the worker does with an order; one that comes a second time is done already.

    One write does it, as what is left is counted by the orders: a worker that dies leaves nothing half done.
    """
    tea, _ = await house.database.order(number)
    async with Lock(house.redis, f"stock:{tea}", lease=10):
        _, state = await house.database.order(number)
        if state == "waiting":
            left = await house.database.left(tea) or 0
            await house.database.set_state(number, "on its way" if left > 0 else "sold out")
