"""What people look at and do with trials: their table, one of them, several side by side, and new ones."""
