"""The manual, and the programs that write its generated parts and pictures."""
