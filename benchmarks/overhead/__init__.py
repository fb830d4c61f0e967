"""What a trial costs on top of its script, against a bare loop and against other tools."""
