from flask import Flask, abort, jsonify, render_template, request

from models import Movie, db

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///movies.db"
app.config["SQLALCHEMY_TRACK_MODIFICATIONS"] = False
db.init_app(app)


@app.get("/")
def index():
    return render_template("index.html", movies=Movie.query.order_by(Movie.title).all())


@app.get("/movies")
def list_movies():
    query = Movie.query
    if request.args.get("watched") is not None:
        query = query.filter_by(watched=request.args["watched"] == "true")
    return jsonify([m.serialize() for m in query.all()])


@app.post("/movies")
def create_movie():
    payload = request.get_json(silent=True) or {}
    if "title" not in payload:
        abort(400, "title is required")
    movie = Movie(title=payload["title"], year=payload.get("year"))
    db.session.add(movie)
    db.session.commit()
    return jsonify(movie.serialize()), 201


@app.get("/movies/<int:movie_id>")
def get_movie(movie_id):
    return jsonify(db.get_or_404(Movie, movie_id).serialize())


@app.patch("/movies/<int:movie_id>")
def update_movie(movie_id):
    movie = db.get_or_404(Movie, movie_id)
    for field in ("title", "year", "watched"):
        if field in request.json:
            setattr(movie, field, request.json[field])
    db.session.commit()
    return jsonify(movie.serialize())


@app.delete("/movies/<int:movie_id>")
def delete_movie(movie_id):
    db.session.delete(db.get_or_404(Movie, movie_id))
    db.session.commit()
    return "", 204


if __name__ == "__main__":
    with app.app_context():
        db.create_all()
    app.run(host="0.0.0.0", port=5000, debug=True)
