"""The frozen values of a study and the events that change them. No I/O, no clock."""
