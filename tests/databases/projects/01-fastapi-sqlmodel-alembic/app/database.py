from sqlmodel import Session, create_engine

DATABASE_URL = "postgresql://postgres:postgres@localhost:5432/shop"

engine = create_engine(DATABASE_URL, pool_pre_ping=True)


def get_session():
    with Session(engine) as session:
        yield session
