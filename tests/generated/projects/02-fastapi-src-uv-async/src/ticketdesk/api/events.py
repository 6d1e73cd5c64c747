from collections.abc import Sequence

from fastapi import APIRouter, Depends, HTTPException, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from ticketdesk.db import Event, get_db
from ticketdesk.schemas import EventIn, EventOut, Purchase

router = APIRouter()


async def find(event_id: int, db: AsyncSession = Depends(get_db)) -> Event:
    event = await db.get(Event, event_id)
    if event is None:
        raise HTTPException(404, "Event not found")
    return event


@router.get("", response_model=list[EventOut])
async def list_events(db: AsyncSession = Depends(get_db)) -> Sequence[Event]:
    return (await db.scalars(select(Event).order_by(Event.id))).all()


@router.post("", response_model=EventOut, status_code=201)
async def create_event(payload: EventIn, db: AsyncSession = Depends(get_db)) -> Event:
    event = Event(**payload.model_dump(), sold=0)
    db.add(event)
    await db.commit()
    return event


@router.get("/{event_id}", response_model=EventOut)
async def read_event(event: Event = Depends(find)) -> Event:
    return event


@router.put("/{event_id}", response_model=EventOut)
async def replace_event(
    payload: EventIn, event: Event = Depends(find), db: AsyncSession = Depends(get_db)
) -> Event:
    for key, value in payload.model_dump().items():
        setattr(event, key, value)
    await db.commit()
    return event


@router.post("/{event_id}/tickets", response_model=EventOut)
async def buy(
    purchase: Purchase, event: Event = Depends(find), db: AsyncSession = Depends(get_db)
) -> Event:
    if event.sold + purchase.quantity > event.capacity:
        raise HTTPException(409, "Sold out")
    event.sold += purchase.quantity
    await db.commit()
    return event


@router.delete("/{event_id}", status_code=204)
async def delete_event(event: Event = Depends(find), db: AsyncSession = Depends(get_db)) -> Response:
    await db.delete(event)
    await db.commit()
    return Response(status_code=204)
