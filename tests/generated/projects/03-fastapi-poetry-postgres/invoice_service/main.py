import os
from typing import List

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy.orm import Session

from . import models, schemas
from .database import engine, get_db

models.Base.metadata.create_all(bind=engine)

app = FastAPI(title="Invoice Service")
DEFAULT_CURRENCY = os.getenv("DEFAULT_CURRENCY", "EUR")


@app.get("/")
def root():
    return {"service": "invoice-service", "docs": "/docs"}


@app.post("/customers", response_model=schemas.CustomerRead, status_code=201)
def create_customer(customer: schemas.CustomerCreate, db: Session = Depends(get_db)):
    existing = db.query(models.Customer).filter(models.Customer.email == customer.email).first()
    if existing:
        raise HTTPException(status_code=400, detail="Email already registered")
    db_customer = models.Customer(**customer.model_dump())
    db.add(db_customer)
    db.commit()
    db.refresh(db_customer)
    return db_customer


@app.get("/customers", response_model=List[schemas.CustomerRead])
def list_customers(db: Session = Depends(get_db)):
    return db.query(models.Customer).all()


@app.get("/customers/{customer_id}/invoices", response_model=List[schemas.InvoiceRead])
def customer_invoices(customer_id: int, db: Session = Depends(get_db)):
    return db.query(models.Invoice).filter(models.Invoice.customer_id == customer_id).all()


@app.post("/invoices", response_model=schemas.InvoiceRead, status_code=201)
def create_invoice(invoice: schemas.InvoiceCreate, db: Session = Depends(get_db)):
    if not db.get(models.Customer, invoice.customer_id):
        raise HTTPException(status_code=404, detail="Customer not found")
    data = invoice.model_dump()
    data["currency"] = data["currency"] or DEFAULT_CURRENCY
    db_invoice = models.Invoice(**data)
    db.add(db_invoice)
    db.commit()
    db.refresh(db_invoice)
    return db_invoice


@app.get("/invoices/{invoice_id}", response_model=schemas.InvoiceRead)
def get_invoice(invoice_id: int, db: Session = Depends(get_db)):
    invoice = db.get(models.Invoice, invoice_id)
    if invoice is None:
        raise HTTPException(status_code=404, detail="Invoice not found")
    return invoice


@app.patch("/invoices/{invoice_id}/status", response_model=schemas.InvoiceRead)
def set_status(invoice_id: int, update: schemas.InvoiceStatusUpdate, db: Session = Depends(get_db)):
    invoice = db.get(models.Invoice, invoice_id)
    if invoice is None:
        raise HTTPException(status_code=404, detail="Invoice not found")
    invoice.status = update.status
    db.commit()
    db.refresh(invoice)
    return invoice


@app.delete("/invoices/{invoice_id}", status_code=204)
def delete_invoice(invoice_id: int, db: Session = Depends(get_db)):
    invoice = db.get(models.Invoice, invoice_id)
    if invoice is None:
        raise HTTPException(status_code=404, detail="Invoice not found")
    db.delete(invoice)
    db.commit()
