from sqlalchemy.orm import Session

from . import models, schemas


def get_department(db: Session, department_id: int):
    return db.query(models.Department).filter(models.Department.id == department_id).first()


def get_departments(db: Session, skip: int = 0, limit: int = 100):
    return db.query(models.Department).order_by(models.Department.id).offset(skip).limit(limit).all()


def get_department_by_name(db: Session, name: str):
    return db.query(models.Department).filter(models.Department.name == name).first()


def create_department(db: Session, department: schemas.DepartmentCreate):
    db_department = models.Department(name=department.name)
    db.add(db_department)
    db.commit()
    db.refresh(db_department)
    return db_department


def create_employee(db: Session, department_id: int, employee: schemas.EmployeeCreate):
    db_employee = models.Employee(**employee.model_dump(), department_id=department_id)
    db.add(db_employee)
    db.commit()
    db.refresh(db_employee)
    return db_employee


def get_employee(db: Session, employee_id: int):
    return db.query(models.Employee).filter(models.Employee.id == employee_id).first()


def update_employee(db: Session, db_employee: models.Employee, employee: schemas.EmployeeCreate):
    for key, value in employee.model_dump().items():
        setattr(db_employee, key, value)
    db.commit()
    db.refresh(db_employee)
    return db_employee


def delete_employee(db: Session, db_employee: models.Employee):
    db.delete(db_employee)
    db.commit()
