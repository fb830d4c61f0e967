"""Trackers: each listens to a study's events and shows them somewhere; none can change or fail a study."""
