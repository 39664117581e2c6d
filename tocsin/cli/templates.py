"""`tocsin templates`: try the notices before anybody gets one."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.terms import NoticeKind
from tocsin.errors import BadInput
from tocsin.mail.checks import check_templates, untranslated
from tocsin.mail.language import FALLBACK
from tocsin.mail.render import TemplateSet, render_notice
from tocsin.mail.samples import sample_contexts
from tocsin.portal.checks import check_pages, page_languages, sentences
from tocsin.settings import Settings

app = typer.Typer(
    help="The words of the notices: check them, look at them.", no_args_is_help=True
)

_SHOWN_FINDINGS = 20

_Directory = Annotated[
    Path | None,
    typer.Option(
        "--directory",
        help="Your own templates, which come before ours. "
        "Default: TOCSIN_TEMPLATE_DIRECTORY.",
    ),
]


@app.command()
def check(*, directory: _Directory = None) -> None:
    """
    Render every notice in every language with sample data, and say what is wrong.

    What has to be on the first screen, well-formed HTML that loads nothing, lines that
    fit, files that are missing or are read by nothing. The pages behind the links, too:
    sentences that a language lacks, or whose values or marks differ.
    """
    chosen = _chosen(directory)
    templates = TemplateSet.from_files(chosen)
    found = [*check_templates(templates), *check_pages()]
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    for finding in found[:_SHOWN_FINDINGS]:
        errors.print(finding)
    if len(found) > _SHOWN_FINDINGS:
        errors.print(f"and {len(found) - _SHOWN_FINDINGS:,} more")
    if found:
        errors.print(f"{len(found):,} findings: an incident cannot use these templates")
        raise typer.Exit(1)
    languages = templates.languages()
    lacking = untranslated(templates)
    rendered = sum(
        len(sample_contexts(kind, templates.language(tag)))
        for tag in languages
        for kind in NoticeKind
        if kind not in lacking.get(tag, ())
    )
    print(
        f"{len(NoticeKind)} kinds in {len(languages)} "
        f"{'language' if len(languages) == 1 else 'languages'} "
        f"({', '.join(languages)}), each rendered for sample readers: "
        f"{rendered} notices, nothing wrong"
    )
    print(
        f"{len(sentences()):,} sentences of subscribers' pages, complete in "
        f"{', '.join(page_languages())}"
    )
    for tag, kinds in lacking.items():
        print(f"{tag} lacks {', '.join(kinds)}: its readers get that in English")
    if chosen is not None:
        own = TemplateSet.from_files_alone(chosen).files
        print(f"Your own files, before ours: {', '.join(sorted(own)) or 'none'}")
    print(f"Next: tocsin templates show {NoticeKind.INITIAL}")


@app.command()
def show(
    kind: Annotated[NoticeKind, typer.Argument(help="Which notice.")],
    *,
    language: Annotated[
        str, typer.Option(help="A language tag; English where there is none of it.")
    ] = FALLBACK,
    sample: Annotated[
        int, typer.Option(help="Which sample reader, from 1.", min=1)
    ] = 2,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write the HTML to this file, for a browser."),
    ] = None,
    directory: _Directory = None,
) -> None:
    """Show a notice as a sample reader would get it."""
    templates = TemplateSet.from_files(_chosen(directory))
    wording = templates.wording(kind, language)
    samples = list(sample_contexts(kind, wording.language).items())
    if sample > len(samples):
        raise BadInput(
            f"there are {len(samples)} sample readers of {kind}", field="--sample"
        )
    name, context = samples[sample - 1]
    rendered = render_notice(
        templates, kind=kind, language=wording.language.tag, context=context
    )
    print(f"Subject: {rendered.subject}\n\n{rendered.text.rstrip()}")
    if html is not None:
        html.write_text(rendered.html, "utf-8")
    note = f"A sample with {name}; {len(samples)} samples, chosen by --sample."
    if html is not None:
        note += f" HTML in {html}."
    print(note, file=sys.stderr)


def _chosen(directory: Path | None) -> Path | None:
    """Take the operator's templates from the option, else from the settings."""
    # Looking at words must not make a data directory, as reading the settings would.
    chosen = directory or Settings().template_directory
    if chosen is not None and not chosen.is_dir():
        raise BadInput("no such directory of templates", file=str(chosen))
    return chosen
