from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from sqlmodel import Session, func, select

from app.config import settings
from app.database import get_session
from app.models import Recipe
from app.routers import recipes

app = FastAPI(title=settings.PROJECT_NAME)

app.add_middleware(
    CORSMiddleware,
    allow_origins=["*"],
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
)

app.include_router(recipes.router, prefix=settings.API_V1_STR)


@app.get("/health", tags=["health"])
def health():
    return {"status": "healthy"}


@app.get(f"{settings.API_V1_STR}/stats", tags=["stats"])
def stats(session: Session = Depends(get_session)):
    total = session.exec(select(func.count()).select_from(Recipe)).one()
    return {"recipes": total}
