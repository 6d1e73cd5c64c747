import os

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import ForeignKey, String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

DATABASE_URL = os.environ.get("DATABASE_URL", "postgresql://postgres:postgres@localhost:5432/tasks")
engine = create_engine(DATABASE_URL)
SessionLocal = sessionmaker(bind=engine)


class Base(DeclarativeBase):
    pass


class Project(Base):
    __tablename__ = "projects"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))


class Task(Base):
    __tablename__ = "tasks"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(100))
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))


Base.metadata.create_all(engine)
with SessionLocal() as first:
    if first.scalar(select(Project).limit(1)) is None:
        first.add(Project(name="Inbox"))
        first.commit()

app = FastAPI(title="Tasks")


class ProjectIn(BaseModel):
    name: str


class TaskIn(BaseModel):
    title: str
    project_id: int


def get_db():
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()


@app.get("/projects")
def list_projects(limit: int = 20, offset: int = 0, db: Session = Depends(get_db)):
    found = db.scalars(select(Project).order_by(Project.id).limit(limit).offset(offset))
    return [{"id": one.id, "name": one.name} for one in found]


@app.post("/projects", status_code=201)
def create_project(body: ProjectIn, db: Session = Depends(get_db)):
    project = Project(name=body.name[:100])
    db.add(project)
    db.commit()
    return {"id": project.id, "name": project.name}


@app.post("/tasks", status_code=201)
def create_task(body: TaskIn, db: Session = Depends(get_db)):
    task = Task(title=body.title[:100], project_id=body.project_id)
    db.add(task)
    db.commit()
    return {"id": task.id, "title": task.title, "project_id": task.project_id}


@app.get("/tasks/{task_id}")
def get_task(task_id: int, db: Session = Depends(get_db)):
    task = db.get(Task, task_id)
    if task is None:
        raise HTTPException(404, "no such task")
    return {"id": task.id, "title": task.title, "project_id": task.project_id}
