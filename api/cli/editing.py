"""The commands of an editor: lint, coverage, locate."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from api.cli.progress import bars, stepping
from api.curation import corpus, coverage, documents, lint
from api.domain.text import locator, paragraphs


@click.command("lint")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--documents",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Copies of the documents as text, to hold locators and words to.",
)
def lint_files(files: tuple[Path, ...], folder: Path | None) -> None:
    """Check files of operations as a careful editor would.

    FILES are taken in the order given, a folder as its *.ndjson in the order of their names. Nothing is written.

    Exit status: 0 nothing is wanting, 1 something is.
    """
    with bars() as progress:
        found = corpus.read(_operations_in(files), stepping(progress))
    findings = lint.lint(found)
    if folder is not None:
        findings += documents.check(found, documents.find(folder))
    for finding in findings:
        click.echo(str(finding))
    click.echo(f"{len(findings)} findings in {len(found.claims)} claims on {len(found.questions)} questions")
    raise SystemExit(bool(findings))


@click.command("coverage")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def show_coverage(folder: Path) -> None:
    """Print which claims were taken from which paragraph of the documents of a seed FOLDER, as Markdown."""
    with bars() as progress:
        found = corpus.read(_operations_in([folder]), stepping(progress))
    click.echo(coverage.render(found, coverage.read(folder)), nl=False)


def _operations_in(paths: Sequence[Path]) -> list[Path]:
    return [file for path in paths for file in (sorted(path.glob("*.ndjson")) if path.is_dir() else [path])]


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("paragraph", type=click.IntRange(1))
def locate(file: Path, paragraph: int) -> None:
    """Print the locator of a paragraph.

    Paragraphs are the non-blank lines of the FILE, counted from 1.
    """
    try:
        found = paragraphs(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        message = f"{file.name} is not UTF-8 text"
        raise click.ClickException(message) from error
    if paragraph > len(found):
        message = f"the document has {len(found)} paragraphs"
        raise click.ClickException(message)
    text = found[paragraph - 1]
    click.echo(json.dumps({"paragraph": paragraph, "sha256": locator(text)}))


COMMANDS = (lint_files, show_coverage, locate)
