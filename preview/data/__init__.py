"""Data of previews: files, SQLite files and their comparison. Nothing here believes what a preview has written."""

from preview.data.client import ConfinedProgram, RunConfined
from preview.data.tree import Tree, TreeChange, add_copy, restore_tree, save_tree

__all__ = ["ConfinedProgram", "RunConfined", "Tree", "TreeChange", "add_copy", "restore_tree", "save_tree"]
