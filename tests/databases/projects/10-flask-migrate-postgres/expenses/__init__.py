from flask import Flask

from config import Config

from .extensions import db, migrate


def create_app(config=Config):
    app = Flask(__name__)
    app.config.from_object(config)

    db.init_app(app)
    migrate.init_app(app, db)

    from . import models  # noqa: F401
    from .cli import seed
    from .routes import bp

    app.register_blueprint(bp, url_prefix="/api")
    app.cli.add_command(seed)
    return app
