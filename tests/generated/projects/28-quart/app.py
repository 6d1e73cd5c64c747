from pathlib import Path

import aiosqlite
from quart import Quart

from records import records

app = Quart(__name__)
app.config["DATABASE"] = "vinyl.db"
app.register_blueprint(records)


@app.before_serving
async def create_tables():
    async with aiosqlite.connect(app.config["DATABASE"]) as db:
        await db.executescript((Path(__file__).parent / "schema.sql").read_text())
        await db.commit()


@app.route("/")
async def index():
    return {"name": "Vinyl Collection"}


if __name__ == "__main__":
    app.run(debug=True)
