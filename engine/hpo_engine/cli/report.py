"""`report`: a study as one HTML file, or its figures as pictures."""

from __future__ import annotations

import click

from hpo_engine.cli.common import find, read_history, root_option, server_option, study_argument, to_stderr

_FORMATS = ("html", "png", "svg", "pdf")


@click.command()
@study_argument
@root_option
@server_option
@click.option("--out", metavar="FILE", help="Where to [STUDY-report.html here; a folder for several pictures].")
@click.option("--format", "form", type=click.Choice(_FORMATS), help="[html, or what FILE ends with]")
@click.option("--figure", metavar="NAME", help="Only this figure.")
@click.option("--dark", "theme", flag_value="dark", help="Dark colours [as the reader's system].")
@click.option("--light", "theme", flag_value="light", help="Light colours.")
@click.option("--open", "show", is_flag=True, help="Open it in a browser.")
def report(
    study: str, root: str | None, out: str | None, form: str | None, figure: str | None, theme: str | None, show: bool
) -> None:
    """Write a report of STUDY: one HTML file with figures, the winner and all trials.

    The file needs no server and no network. With --format png, svg or pdf the figures are written as
    pictures, which takes kaleido and a Chromium or Chrome.
    """
    from hpo_engine.control.reporting import write_report

    paths = find(study, root)
    written = write_report(read_history(paths), paths, out, form=form, figure=figure, theme=theme or "")
    for path in written:
        click.echo(f"written: {path}")
    if show:
        import webbrowser

        if not webbrowser.open(written[0].resolve().as_uri()):
            to_stderr(f"hpo-engine: no browser was found; open {written[0]} yourself")


VERBS = (report,)
