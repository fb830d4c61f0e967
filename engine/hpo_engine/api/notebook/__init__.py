"""Studies in Jupyter: tables and a view that follows a study while it runs. Other wings of the API need none of it."""
