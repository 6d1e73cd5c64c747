"""Programs of the sandboxes themselves: they run inside, as the sandbox's user, and import nothing of the service."""
