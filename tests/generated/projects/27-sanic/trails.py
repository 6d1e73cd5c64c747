from sanic import Blueprint
from sanic.exceptions import NotFound
from sanic.response import empty, json
from sanic.views import HTTPMethodView

bp = Blueprint("trails", url_prefix="/trails")

TRAILS: dict[int, dict] = {}


def find(trail_id: int) -> dict:
    if trail_id not in TRAILS:
        raise NotFound("Trail not found")
    return TRAILS[trail_id]


class TrailsView(HTTPMethodView):
    async def get(self, request):
        return json(list(TRAILS.values()))

    async def post(self, request):
        trail_id = max(TRAILS, default=0) + 1
        TRAILS[trail_id] = {"id": trail_id, "name": request.json["name"], "km": request.json.get("km", 0)}
        return json(TRAILS[trail_id], status=201)


bp.add_route(TrailsView.as_view(), "/")


@bp.get("/<trail_id:int>")
async def get_trail(request, trail_id: int):
    return json(find(trail_id))


@bp.put("/<trail_id:int>")
async def update_trail(request, trail_id: int):
    trail = find(trail_id)
    trail.update(request.json)
    return json(trail)


@bp.delete("/<trail_id:int>")
async def delete_trail(request, trail_id: int):
    find(trail_id)
    del TRAILS[trail_id]
    return empty()
