"""The operating system: files, threads, and faults that are the machine's and not a trial's."""
