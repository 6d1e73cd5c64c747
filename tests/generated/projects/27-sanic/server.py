from sanic import Sanic
from sanic.response import json

from trails import bp

app = Sanic("TrailReports")
app.blueprint(bp)


@app.get("/")
async def index(request):
    return json({"name": "Trail reports", "version": "1.0"})


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=8000, debug=True)
