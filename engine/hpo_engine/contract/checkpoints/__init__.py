"""The checkpoints of a trial: what looks like one, which is the newest, what they take up, and how they are deleted.

Knows the files in RESULT_DIR, and nothing of who goes on from them.
"""
