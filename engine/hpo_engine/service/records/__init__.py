"""What the service keeps beside the studies' folders: submissions in its database, and uploads."""
