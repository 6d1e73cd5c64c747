from blacksheep import Application, FromJSON, created, json, no_content, not_found
from blacksheep.server.controllers import APIController, delete, get, post, put

from domain import BedInput, BedRepository

app = Application(show_error_details=True)
app.services.add_instance(BedRepository())


@app.router.get("/")
async def home():
    return json({"name": "Garden planner"})


class Beds(APIController):
    def __init__(self, repository: BedRepository):
        self.repository = repository

    @get()
    async def list_beds(self):
        return json(list(self.repository.beds.values()))

    @post()
    async def create_bed(self, data: FromJSON[BedInput]):
        return created(self.repository.add(data.value))

    @get("{bed_id}")
    async def get_bed(self, bed_id: int):
        bed = self.repository.beds.get(bed_id)
        return json(bed) if bed else not_found()

    @put("{bed_id}")
    async def update_bed(self, bed_id: int, data: FromJSON[BedInput]):
        bed = self.repository.beds.get(bed_id)
        if bed is None:
            return not_found()
        bed.crop, bed.square_metres = data.value.crop, data.value.square_metres
        return json(bed)

    @delete("{bed_id}")
    async def delete_bed(self, bed_id: int):
        self.repository.beds.pop(bed_id, None)
        return no_content()
