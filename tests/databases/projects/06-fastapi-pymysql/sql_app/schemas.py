from typing import List, Optional

from pydantic import BaseModel, ConfigDict, EmailStr


class EmployeeBase(BaseModel):
    name: str
    email: EmailStr
    salary: float
    about: Optional[str] = None


class EmployeeCreate(EmployeeBase):
    pass


class Employee(EmployeeBase):
    model_config = ConfigDict(from_attributes=True)

    id: int
    is_active: bool
    department_id: Optional[int] = None


class DepartmentCreate(BaseModel):
    name: str


class Department(DepartmentCreate):
    model_config = ConfigDict(from_attributes=True)

    id: int
    employees: List[Employee] = []
