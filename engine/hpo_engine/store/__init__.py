"""The event log on disk, who holds it, and the requests to who does."""
