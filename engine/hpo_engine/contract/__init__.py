"""Every name, format and file that is shared with a training script."""
