"""Imports of public repositories from GitHub: checked addresses, bounded downloads, files without the top folder."""

from preview.github.address import Repository, Site, parse_address
from preview.github.importer import Fetched, GithubImporter

__all__ = ["Fetched", "GithubImporter", "Repository", "Site", "parse_address"]
