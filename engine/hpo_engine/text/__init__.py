"""Plain text for people: tables, cut and quoted words, short decimals, and the streams they go to."""
