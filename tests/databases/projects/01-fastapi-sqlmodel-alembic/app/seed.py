from decimal import Decimal

from sqlmodel import Session, select

from app.database import engine
from app.models import Product

PRODUCTS = [
    Product(name="Mug", price=Decimal("8.50"), tags=["kitchen"]),
    Product(name="Lamp", price=Decimal("39.00"), tags=["home", "light"]),
]


def main() -> None:
    with Session(engine) as session:
        if session.exec(select(Product)).first() is None:
            session.add_all(PRODUCTS)
            session.commit()


if __name__ == "__main__":
    main()
