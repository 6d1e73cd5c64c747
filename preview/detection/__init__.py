"""What a project is and how it is started, decided from its files alone."""
