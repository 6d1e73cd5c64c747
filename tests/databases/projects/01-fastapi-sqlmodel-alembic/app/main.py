from fastapi import Depends, FastAPI
from sqlalchemy import text
from sqlmodel import Session

from app.database import get_session
from app.routers import products

app = FastAPI(title="Shop API")
app.include_router(products.router)


@app.get("/health")
def health(session: Session = Depends(get_session)):
    return {"status": "ok", "database": session.scalar(text("SELECT version()"))}
