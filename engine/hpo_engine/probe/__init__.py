"""Short real trials of a study, in a scratch folder, and what they show of the script: findings as plain values."""
