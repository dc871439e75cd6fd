"""The runbooks: one page for each rule, an index by group, and the guide's three paths; as Markdown and as text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reaper_ops.core.doctor import remedy, runbook
from reaper_ops.core.doctor.diagnose import BY_ID
from reaper_ops.core.doctor.finding import Automate, Step
from reaper_ops.core.doctor.rules.catalogue import GROUPS, RULES
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.errors import ReaperError
from reaper_ops.formats.doctor.runbook_paths import PATHS, Path

NOTE = "<!-- Generated from the rules by docs/generate.py. -->"
ROOM = "docs/runbooks"
WIDTH = 100
EXAMPLES = {
    "right": "SCHEME://HOST:PORT",
    "like": "10.3.0",
    "origins": "https://app.example.org",
    "user": "ollama",
    "client_variable": "OLLAMA_BASE_URL",
    "variable": "OLLAMA_HOST",
    "before": "http://0.0.0.0:11434",
    "setting": "ollama_bind",
    "wanted": "false",
}
"""What a page says for places that only a host can fill, where their name alone would tell nobody what to write."""
WHO = {
    Automate.SAFE: "`reaper-ops doctor --fix` does it",
    Automate.ASK: "`reaper-ops doctor --fix` does it after a yes",
    Automate.NEVER: "by hand",
}


@dataclass(frozen=True)
class RunbookSection:
    """A part of a page. kind: text, list or numbers; an item may have a command of its own."""

    heading: str
    items: tuple[tuple[str, str], ...]
    kind: str = "list"


def parts(rule: Rule) -> tuple[str, tuple[RunbookSection, ...]]:
    """Title and parts of a rule's page; a part that has nothing to say is left out."""
    page = runbook.parse(rule.text)
    found = (
        RunbookSection("", tuple((paragraph, "") for paragraph in page.cause.split("\n\n") if paragraph), "text"),
        RunbookSection("Signals", _plain(page.signals)),
        RunbookSection("Not to be confused with", _plain(page.look_alikes)),
        RunbookSection(
            "What only a person can tell", _plain((_generic(rule.question),) if rule.question else ()), "text"
        ),
        RunbookSection("What the doctor reads for it", _plain(rule.needs)),
        RunbookSection("What to do", tuple(_step(step) for step in rule.steps), "numbers"),
        RunbookSection("Whether it worked", (("", _generic(rule.verify)),), "text"),
        RunbookSection("Explains", _plain(rule.explains)),
        RunbookSection("Explained by", _plain(other.id for other in RULES if rule.id in other.explains)),
        RunbookSection("Sources", _plain(page.sources)),
    )
    return page.title, tuple(part for part in found if part.items)


def _plain(items: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((item, "") for item in items)


def _step(step: Step) -> tuple[str, str]:
    """With who does it: a class other than by hand needs an action of ours."""
    return f"{_generic(step.text)} ({WHO[step.automate]})", _generic(step.command)


def _generic(text: str) -> str:
    return remedy.fill(text, {**remedy.GENERIC, **EXAMPLES})


def group(rule: Rule) -> str:
    return next(name for name, rules in GROUPS.items() if rule in rules)


def page(rule: Rule) -> str:
    """Markdown of one rule."""
    title, found = parts(rule)
    head = f"{NOTE}\n# `{rule.id}`\n\n**{title}** ({group(rule)}, {rule.severity})"
    return "\n\n".join([head, *(_markdown(part) for part in found)]) + "\n"


def _markdown(part: RunbookSection) -> str:
    lines = [f"## {part.heading}", ""] if part.heading else []
    for place, (said, command) in enumerate(part.items, 1):
        mark = {"text": "", "list": "- ", "numbers": f"{place}. "}[part.kind]
        indent = " " * len(mark)
        lines += [f"{mark}{_linked(said)}"] if said else []
        lines += ["", f"{indent}```sh", f"{indent}{command}", f"{indent}```"] if command else []
        if part.kind == "text" and place < len(part.items):
            lines.append("")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _linked(said: str) -> str:
    """Ids of rules as links to their pages, addresses as links."""
    name, colon, rest = said.partition(":")
    if name in BY_ID:
        return f"[`{name}`]({name}.md){colon}{rest}"
    return re.sub(r"(?<![<(])(https?://[^\s)]+)", r"<\1>", said)


def index() -> str:
    """README.md of the runbooks."""
    blocks = [f"{NOTE}\n# Runbooks", INTRODUCTION, *map(_path, PATHS)]
    for name, rules in GROUPS.items():
        rows = [f"| [`{r.id}`]({r.id}.md) | {_cell(runbook.parse(r.text).title)} | {r.severity} |" for r in rules]
        if rows:
            blocks.append("\n".join([f"## {name}", "", "| id | cause | weight |", "|---|---|---|", *rows]))
    return "\n\n".join(blocks) + "\n"


INTRODUCTION = (
    "One page for each cause that `reaper-ops doctor` can name. `reaper-ops runbook ID` shows a page in the terminal, "
    "`reaper-ops runbook` lists them.\nThe guide's three complaints come first, each as a path: the first check that "
    "finds something names the cause."
)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _path(path: Path) -> str:
    lines = [f"## {path.title}", "", path.first, ""]
    for place, check in enumerate(path.checks, 1):
        ids = ", ".join(f"[`{id_}`]({id_}.md)" for id_ in check.ids if id_ in BY_ID)
        shown = f" `{check.command}`" if check.command else ""
        lines.append(f"{place}. **{check.question}**{shown}{f' → {ids}' if ids else ''}")
    return "\n".join(lines)


def files() -> Mapping[str, str]:
    """Path below the root of the repository, and text."""
    return {f"{ROOM}/README.md": index(), **{f"{ROOM}/{rule.id}.md": page(rule) for rule in RULES}}


def text(name: str) -> str:
    """A page for the terminal: of a rule by its id, or one of the guide's three by its name."""
    path = next((path for path in PATHS if path.name == name), None)
    if path is not None:
        return _path_text(path)
    rule = BY_ID.get(name)
    if rule is None:
        raise ReaperError(name, "there is no such runbook", _nearest(name))
    title, found = parts(rule)
    head = f"{rule.id}\n{title} ({group(rule)}, {rule.severity})"
    return "\n\n".join([head, *(_text(part) for part in found)])


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, [*BY_ID, *(path.name for path in PATHS)], 3)
    return f"did you mean {' or '.join(near)}?" if near else "`reaper-ops runbook` lists them"


def _text(part: RunbookSection) -> str:
    lines = [part.heading] if part.heading else []
    indent = "  " if part.heading else ""
    for place, (said, command) in enumerate(part.items, 1):
        mark = {"text": "", "list": "- ", "numbers": f"{place}. "}[part.kind]
        lines += [_wrapped(said, indent + mark)] if said else []
        lines += [f"{indent}{' ' * len(mark)}$ {command}"] if command else []
    return "\n".join(lines)


def _wrapped(said: str, first: str) -> str:
    rest = " " * len(first)
    return textwrap.fill(
        said, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _path_text(path: Path) -> str:
    lines = [path.title, _wrapped(path.first, ""), ""]
    for place, check in enumerate(path.checks, 1):
        mark = f"{place}. "
        lines.append(mark + check.question)
        lines += [f"   $ {check.command}"] if check.command else []
        ids = [id_ for id_ in check.ids if id_ in BY_ID]
        lines += [_wrapped(", ".join(ids), "   ")] if ids else []
    return "\n".join(lines)


def listing() -> str:
    """All ids by group, and the three paths."""
    width = max(map(len, (*BY_ID, *(path.name for path in PATHS))))
    blocks = [["The guide's three", *(f"  {path.name:{width}}  {path.title}." for path in PATHS)]]
    for name, rules in GROUPS.items():
        rows = [f"  {rule.id:{width}}  {runbook.parse(rule.text).title}" for rule in rules]
        blocks += [[name, *rows]] if rows else []
    return "\n\n".join("\n".join(block) for block in blocks)
