"""Who is asking (being written by a second colleague; the storage colleague need not)."""
