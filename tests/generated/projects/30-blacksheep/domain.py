from dataclasses import dataclass, field
from itertools import count


@dataclass
class Bed:
    id: int
    crop: str
    square_metres: float


@dataclass
class BedInput:
    crop: str
    square_metres: float = 1.0


@dataclass
class BedRepository:
    beds: dict[int, Bed] = field(default_factory=dict)
    sequence: count = field(default_factory=lambda: count(1))

    def add(self, data: BedInput) -> Bed:
        bed = Bed(next(self.sequence), data.crop, data.square_metres)
        self.beds[bed.id] = bed
        return bed
