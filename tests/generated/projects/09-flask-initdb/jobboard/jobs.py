from flask import Blueprint, abort, jsonify, request

from .db import get_db

bp = Blueprint("jobs", __name__, url_prefix="/jobs")


def find(job_id):
    job = get_db().execute("SELECT id, title, company, remote FROM job WHERE id = ?", (job_id,)).fetchone()
    if job is None:
        abort(404)
    return dict(job)


@bp.route("/", methods=("GET", "POST"))
def index():
    db = get_db()
    if request.method == "POST":
        data = request.get_json()
        cursor = db.execute(
            "INSERT INTO job (title, company, remote) VALUES (?, ?, ?)",
            (data["title"], data["company"], int(data.get("remote", False))),
        )
        db.commit()
        return jsonify(find(cursor.lastrowid)), 201
    jobs = db.execute("SELECT id, title, company, remote FROM job ORDER BY created DESC").fetchall()
    return jsonify([dict(job) for job in jobs])


@bp.route("/<int:id>", methods=("GET", "PUT", "DELETE"))
def detail(id):
    job = find(id)
    db = get_db()
    if request.method == "PUT":
        data = request.get_json()
        db.execute("UPDATE job SET title = ?, company = ? WHERE id = ?", (data["title"], data["company"], id))
        db.commit()
        job = find(id)
    elif request.method == "DELETE":
        db.execute("DELETE FROM job WHERE id = ?", (id,))
        db.commit()
        return "", 204
    return jsonify(job)
