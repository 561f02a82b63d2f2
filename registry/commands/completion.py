"""``hallu completion``: what a shell needs to complete ``hallu``, printed from the parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

__all__ = ["arguments", "run", "script"]

_HELP = """\
bash:  echo 'source <(hallu completion bash)' >> ~/.bashrc
zsh:   echo 'source <(hallu completion zsh)' >> ~/.zshrc

Commands, options and the values that options allow are completed, and files everywhere else. A new shell has it.
"""

_SCRIPT = """\
_hallu() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}} words=
    if ((COMP_CWORD == 1)); then
        words='{commands}'
    else
        case $command in
{words}
        esac
        case "$command ${{COMP_WORDS[COMP_CWORD - 1]}}" in
{values}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _hallu hallu
"""

_ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"
"""zsh takes bash's functions."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``hallu completion``."""
    parser.epilog = _HELP
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=("bash", "zsh"))


def run(given: argparse.Namespace) -> int:
    """``hallu completion bash | zsh``."""
    print(script(given.shell), end="")
    return 0


def script(shell: str) -> str:
    """What the shell has to source."""
    from registry.commands import cli

    commands = _commands(cli.parser(list(cli.COMMANDS)))
    words = [f"            {name}) words='{' '.join(_words(parser))}' ;;" for name, parser in commands.items()]
    values = [
        f"            '{name} {option}') words='{' '.join(choices)}' ;;"
        for name, parser in commands.items()
        for option, choices in sorted(_values(parser).items())
    ]
    text = _SCRIPT.format(
        commands=" ".join([*commands, *_options(cli.parser(()))]), words="\n".join(words), values="\n".join(values)
    )
    return (_ZSH if shell == "zsh" else "") + text


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {name: one for action in _nested(parser) for name, one in action.choices.items()}


def _nested(parser: argparse.ArgumentParser) -> Iterator[argparse._SubParsersAction[argparse.ArgumentParser]]:
    yield from (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return sorted({option for action in parser._actions for option in action.option_strings if option.startswith("--")})


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """What can stand behind a command: names that it takes, and options, its own commands' among them."""
    names = [str(name) for one in parser._actions if not one.option_strings for name in one.choices or ()]
    return [*names, *sorted({*_options(parser), *(o for one in _commands(parser).values() for o in _options(one))})]


def _values(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """By option, the values that it allows; of commands of its own too."""
    found = {
        option: [str(choice) for choice in action.choices]
        for action in parser._actions
        if action.choices
        for option in action.option_strings
    }
    for one in _commands(parser).values():
        found.update(_values(one))
    return found
