"""How well searchers search: problems, a runner, peers, and the league table. See README.md in this folder."""
