import uuid

from fastapi import FastAPI, HTTPException
from sqlalchemy import select, text

from src.config import settings
from src.db import SessionDep
from src.models import Comment, Ticket
from src.schemas import CommentIn, TicketIn, TicketOut

app = FastAPI(title=settings.PROJECT_NAME)


async def find(session: SessionDep, ticket_id: uuid.UUID) -> Ticket:
    ticket = await session.get(Ticket, ticket_id, populate_existing=True)
    if ticket is None:
        raise HTTPException(404, "Ticket not found")
    return ticket


@app.get("/api/health")
async def health(session: SessionDep):
    return {"database": await session.scalar(text("SELECT version()"))}


@app.get("/api/tickets", response_model=list[TicketOut])
async def list_tickets(session: SessionDep, browser: str | None = None):
    query = select(Ticket).order_by(Ticket.created_at)
    if browser:
        query = query.where(Ticket.fields["browser"].astext == browser)
    return (await session.scalars(query)).all()


@app.post("/api/tickets", response_model=TicketOut, status_code=201)
async def create_ticket(data: TicketIn, session: SessionDep):
    ticket = Ticket(**data.model_dump())
    session.add(ticket)
    await session.commit()
    return await find(session, ticket.id)


@app.get("/api/tickets/{ticket_id}", response_model=TicketOut)
async def read_ticket(ticket_id: uuid.UUID, session: SessionDep):
    return await find(session, ticket_id)


@app.put("/api/tickets/{ticket_id}", response_model=TicketOut)
async def update_ticket(ticket_id: uuid.UUID, data: TicketIn, session: SessionDep):
    ticket = await find(session, ticket_id)
    for name, value in data.model_dump().items():
        setattr(ticket, name, value)
    await session.commit()
    return await find(session, ticket_id)


@app.post("/api/tickets/{ticket_id}/comments", response_model=TicketOut, status_code=201)
async def add_comment(ticket_id: uuid.UUID, data: CommentIn, session: SessionDep):
    await find(session, ticket_id)
    session.add(Comment(ticket_id=ticket_id, body=data.body))
    await session.commit()
    return await find(session, ticket_id)


@app.delete("/api/tickets/{ticket_id}", status_code=204)
async def delete_ticket(ticket_id: uuid.UUID, session: SessionDep):
    await session.delete(await find(session, ticket_id))
    await session.commit()
