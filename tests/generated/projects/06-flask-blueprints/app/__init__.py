from flask import Flask, jsonify
from flask_cors import CORS

from config import config

from .extensions import db


def create_app(config_name="default"):
    app = Flask(__name__)
    app.config.from_object(config[config_name])

    db.init_app(app)
    CORS(app, resources={r"/api/*": {"origins": "*"}})

    from .books.routes import books_bp
    from .loans.routes import loans_bp

    app.register_blueprint(books_bp, url_prefix="/api/books")
    app.register_blueprint(loans_bp, url_prefix="/api/loans")

    @app.route("/health")
    def health():
        return jsonify(status="ok")

    @app.errorhandler(404)
    def not_found(error):
        return jsonify(error="Not found"), 404

    with app.app_context():
        db.create_all()

    return app
