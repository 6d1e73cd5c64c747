from contextlib import asynccontextmanager

from auth import get_current_user
from auth import router as auth_router
from database import Base, Habit, User, engine, get_db
from fastapi import Depends, FastAPI, HTTPException
from fastapi.middleware.cors import CORSMiddleware
from pydantic import BaseModel
from sqlalchemy.orm import Session


@asynccontextmanager
async def lifespan(app: FastAPI):
    Base.metadata.create_all(bind=engine)
    yield


app = FastAPI(title="HabitFlow API", lifespan=lifespan)
app.add_middleware(
    CORSMiddleware,
    allow_origins=["http://localhost:5173"],
    allow_methods=["*"],
    allow_headers=["*"],
)
app.include_router(auth_router)


class HabitIn(BaseModel):
    name: str
    per_week: int = 7


def habit_dict(habit: Habit) -> dict:
    return {"id": habit.id, "name": habit.name, "per_week": habit.per_week, "archived": habit.archived}


@app.get("/api/habits")
def list_habits(user: User = Depends(get_current_user), db: Session = Depends(get_db)):
    return [habit_dict(h) for h in db.query(Habit).filter(Habit.owner_id == user.id)]


@app.post("/api/habits", status_code=201)
def create_habit(data: HabitIn, user: User = Depends(get_current_user), db: Session = Depends(get_db)):
    habit = Habit(name=data.name, per_week=data.per_week, archived=False, owner_id=user.id)
    db.add(habit)
    db.commit()
    db.refresh(habit)
    return habit_dict(habit)


def own_habit(habit_id: int, user: User = Depends(get_current_user), db: Session = Depends(get_db)) -> Habit:
    habit = db.query(Habit).filter(Habit.id == habit_id, Habit.owner_id == user.id).first()
    if habit is None:
        raise HTTPException(status_code=404, detail="Habit not found")
    return habit


@app.put("/api/habits/{habit_id}")
def update_habit(data: HabitIn, habit: Habit = Depends(own_habit), db: Session = Depends(get_db)):
    habit.name, habit.per_week = data.name, data.per_week
    db.commit()
    return habit_dict(habit)


@app.delete("/api/habits/{habit_id}", status_code=204)
def delete_habit(habit: Habit = Depends(own_habit), db: Session = Depends(get_db)):
    db.delete(habit)
    db.commit()


@app.get("/api/health")
def health():
    return {"status": "ok"}
