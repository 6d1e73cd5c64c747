from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]
    size: Mapped[str] = mapped_column(default="medium")
    done: Mapped[bool] = mapped_column(default=False)
