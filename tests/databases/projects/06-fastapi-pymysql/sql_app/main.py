from typing import List

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import text
from sqlalchemy.orm import Session

from . import crud, models, schemas
from .database import SessionLocal, engine

models.Base.metadata.create_all(bind=engine)

app = FastAPI()


# Dependency
def get_db():
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()


@app.get("/version")
def version(db: Session = Depends(get_db)):
    return {"version": db.execute(text("SELECT VERSION()")).scalar()}


@app.post("/departments/", response_model=schemas.Department)
def create_department(department: schemas.DepartmentCreate, db: Session = Depends(get_db)):
    if crud.get_department_by_name(db, name=department.name):
        raise HTTPException(status_code=400, detail="Department already exists")
    return crud.create_department(db=db, department=department)


@app.get("/departments/", response_model=List[schemas.Department])
def read_departments(skip: int = 0, limit: int = 100, db: Session = Depends(get_db)):
    return crud.get_departments(db, skip=skip, limit=limit)


@app.post("/departments/{department_id}/employees/", response_model=schemas.Employee)
def create_employee(department_id: int, employee: schemas.EmployeeCreate, db: Session = Depends(get_db)):
    if crud.get_department(db, department_id) is None:
        raise HTTPException(status_code=404, detail="Department not found")
    return crud.create_employee(db, department_id, employee)


@app.get("/employees/{employee_id}", response_model=schemas.Employee)
def read_employee(employee_id: int, db: Session = Depends(get_db)):
    db_employee = crud.get_employee(db, employee_id)
    if db_employee is None:
        raise HTTPException(status_code=404, detail="Employee not found")
    return db_employee


@app.put("/employees/{employee_id}", response_model=schemas.Employee)
def update_employee(employee_id: int, employee: schemas.EmployeeCreate, db: Session = Depends(get_db)):
    return crud.update_employee(db, read_employee(employee_id, db), employee)


@app.delete("/employees/{employee_id}")
def delete_employee(employee_id: int, db: Session = Depends(get_db)):
    crud.delete_employee(db, read_employee(employee_id, db))
    return {"ok": True}
