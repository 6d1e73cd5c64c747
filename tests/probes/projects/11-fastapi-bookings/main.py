from datetime import date
from typing import Optional
from uuid import uuid4

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, Field

app = FastAPI(title="Room Booking API", version="1.0.0")


class Room(BaseModel):
    id: int
    name: str
    capacity: int
    hourly_rate: float


class BookingCreate(BaseModel):
    room_id: int
    guest_name: str = Field(..., min_length=1, max_length=100)
    start: date
    end: date
    attendees: int = Field(..., ge=0)


class Booking(BookingCreate):
    id: str
    status: str = "confirmed"


ROOMS: dict[int, Room] = {
    1: Room(id=1, name="Aurora", capacity=4, hourly_rate=25.0),
    2: Room(id=2, name="Borealis", capacity=10, hourly_rate=60.0),
    3: Room(id=3, name="Cascade", capacity=20, hourly_rate=95.0),
}
BOOKINGS: dict[str, Booking] = {}


@app.get("/health")
def health():
    return {"status": "ok"}


@app.get("/rooms", response_model=list[Room])
def list_rooms(min_capacity: int = Query(0, ge=0)):
    return [room for room in ROOMS.values() if room.capacity >= min_capacity]


@app.get("/rooms/{room_id}", response_model=Room)
def get_room(room_id: int):
    room = ROOMS.get(room_id)
    if room is None:
        raise HTTPException(status_code=404, detail="Room not found")
    return room


@app.get("/rooms/{room_id}/price-per-person")
def price_per_person(room_id: int, attendees: int = 1):
    room = ROOMS.get(room_id)
    if room is None:
        raise HTTPException(status_code=404, detail="Room not found")
    return {"room": room.name, "price": round(room.hourly_rate / max(attendees, 1), 2)}


@app.post("/bookings", response_model=Booking, status_code=201)
def create_booking(payload: BookingCreate):
    room = ROOMS[payload.room_id]
    if payload.attendees > room.capacity:
        raise HTTPException(status_code=409, detail="Room is too small")
    booking = Booking(id=uuid4().hex, **payload.model_dump())
    BOOKINGS[booking.id] = booking
    return booking


@app.get("/bookings", response_model=list[Booking])
def list_bookings(guest: Optional[str] = None):
    bookings = list(BOOKINGS.values())
    if guest:
        bookings = [b for b in bookings if guest.lower() in b.guest_name.lower()]
    return bookings


@app.get("/bookings/{booking_id}", response_model=Booking)
def get_booking(booking_id: str):
    if booking_id not in BOOKINGS:
        raise HTTPException(status_code=404, detail="Booking not found")
    return BOOKINGS[booking_id]


@app.get("/bookings/{booking_id}/daily-attendance")
def daily_attendance(booking_id: str):
    booking = BOOKINGS.get(booking_id)
    if booking is None:
        raise HTTPException(status_code=404, detail="Booking not found")
    days = (booking.end - booking.start).days
    return {"booking": booking_id, "per_day": booking.attendees / days}


@app.delete("/bookings/{booking_id}", status_code=204)
def cancel_booking(booking_id: str):
    if BOOKINGS.pop(booking_id, None) is None:
        raise HTTPException(status_code=404, detail="Booking not found")
