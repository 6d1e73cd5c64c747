"""A MongoDB of the operator's: a user and a database for each preview, reached by whatever name the project has."""

from preview.backing.mongodb.account import check_mongodb
from preview.backing.mongodb.engine import OperatorMongodb

__all__ = ["OperatorMongodb", "check_mongodb"]
