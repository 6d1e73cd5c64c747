"""Servers of Node's frameworks, each with its own rules for paths, prefixes and plugins."""
