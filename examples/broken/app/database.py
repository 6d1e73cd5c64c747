"""The to-do list: a dictionary, for a start."""

TODOS: dict[int, str] = {1: "correct the import in main.py"}
