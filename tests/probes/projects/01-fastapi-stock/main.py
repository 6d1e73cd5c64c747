from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

app = FastAPI(title="Stock")


class ProductIn(BaseModel):
    name: str = Field(min_length=1, max_length=80)
    price: float = Field(ge=0)
    quantity: int = Field(ge=0)


class Product(ProductIn):
    id: int


products: dict[int, Product] = {}
counter = 0


@app.get("/health")
def health():
    return {"status": "ok"}


@app.post("/products", response_model=Product, status_code=201)
def create_product(body: ProductIn):
    global counter
    counter += 1
    products[counter] = Product(id=counter, **body.model_dump())
    return products[counter]


@app.get("/products", response_model=list[Product])
def list_products(skip: int = 0, limit: int = 20):
    return list(products.values())[skip : skip + limit]


@app.get("/products/{product_id}", response_model=Product)
def get_product(product_id: int):
    if product_id not in products:
        raise HTTPException(404, "Product not found")
    return products[product_id]


@app.get("/products/{product_id}/unit-value")
def unit_value(product_id: int):
    product = products.get(product_id)
    if product is None:
        raise HTTPException(404, "Product not found")
    return {"value": product.price / product.quantity}


@app.delete("/products/{product_id}", status_code=204)
def delete_product(product_id: int):
    if product_id not in products:
        raise HTTPException(404, "Product not found")
    del products[product_id]
    return JSONResponse(None, status_code=204)
