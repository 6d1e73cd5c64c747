from typing import Literal

from fastapi import APIRouter, FastAPI, HTTPException, status
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

app = FastAPI(title="Invoices")
router = APIRouter(prefix="/api/v1")


class Line(BaseModel):
    description: str = Field(min_length=1)
    amount: float = Field(gt=0)


class InvoiceIn(BaseModel):
    customer: str = Field(min_length=2, max_length=60)
    currency: Literal["EUR", "USD"] = "EUR"
    lines: list[Line] = Field(min_length=1, max_length=20)


class Invoice(InvoiceIn):
    id: int
    paid: bool = False


class Total(BaseModel):
    invoice_id: int
    total: float
    lines: int


store: dict[int, Invoice] = {}


@router.post("/invoices", response_model=Invoice, status_code=status.HTTP_201_CREATED)
async def create(body: InvoiceIn):
    invoice = Invoice(id=len(store) + 1, **body.model_dump())
    store[invoice.id] = invoice
    return invoice


@router.get("/invoices", response_model=list[Invoice])
async def index(currency: Literal["EUR", "USD"] | None = None):
    return [one for one in store.values() if currency is None or one.currency == currency]


@router.get("/invoices/{invoice_id}", response_model=Invoice)
async def show(invoice_id: int):
    if invoice_id not in store:
        raise HTTPException(404, "no such invoice")
    return store[invoice_id]


@router.get("/invoices/{invoice_id}/total", response_model=Total)
async def total(invoice_id: int):
    if invoice_id not in store:
        raise HTTPException(404, "no such invoice")
    amount = sum(line.amount for line in store[invoice_id].lines)
    return JSONResponse({"invoice_id": invoice_id, "total": f"{amount:.2f}", "lines": len(store[invoice_id].lines)})


@router.post("/invoices/{invoice_id}/pay", response_model=Invoice)
async def pay(invoice_id: int):
    if invoice_id not in store:
        raise HTTPException(404, "no such invoice")
    invoice = store[invoice_id]
    if invoice.paid:
        raise ValueError("invoice is paid already")
    invoice.paid = True
    return invoice


app.include_router(router)
