from fastapi import FastAPI, HTTPException

from app.databse import TODOS

app = FastAPI(title="To-do")


@app.get("/todos")
def list_todos() -> dict[int, str]:
    """All that is to be done."""
    return TODOS


@app.get("/todos/{todo_id}")
def read_todo(todo_id: int) -> str:
    """One thing to be done."""
    if todo_id not in TODOS:
        raise HTTPException(404, f"no to-do {todo_id}")
    return TODOS[todo_id]


@app.get("/health")
def health() -> dict[str, str]:
    """Whether the service is up."""
    return {"status": "ok"}
