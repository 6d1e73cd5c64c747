from pydantic import BaseModel, ConfigDict, Field


class EventIn(BaseModel):
    name: str = Field(min_length=1)
    venue: str
    capacity: int = Field(default=100, gt=0)


class EventOut(EventIn):
    model_config = ConfigDict(from_attributes=True)

    id: int
    sold: int


class Purchase(BaseModel):
    quantity: int = Field(gt=0, le=10)
