from fastapi import APIRouter

from ticketdesk.api import events

api_router = APIRouter(prefix="/v1")
api_router.include_router(events.router, prefix="/events", tags=["events"])
