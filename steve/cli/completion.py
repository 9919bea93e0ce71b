"""`completion SHELL`: a script that completes the commands and options of `steve`. The script asks `steve completion words`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from steve.cli.command import DONE, Command

SCRIPTS = {
    "bash": """\
_steve() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(steve completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" \\
        -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _steve steve
""",
    "zsh": """\
#compdef steve
_steve() {
    local -a found
    found=("${(@f)$(steve completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -- $found
}
compdef _steve steve
""",
    "fish": """\
function __steve_words
    set -l words (commandline -opc) (commandline -ct)
    steve completion words -- $words[2..-1] 2>/dev/null
end
complete -c steve -f -a '(__steve_words)'
""",
}


def add(commands: Any, make_parser: Callable[[], argparse.ArgumentParser]) -> None:
    completion = commands.add_parser(
        "completion",
        help="print a script that completes commands and options in a shell",
        description="For bash: source <(steve completion bash). For zsh the same in ~/.zshrc, after compinit. For fish: "
        "steve completion fish | source.",
    )
    completion.add_argument("shell", choices=[*SCRIPTS, "words"], metavar="{bash,zsh,fish}")
    completion.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    completion.set_defaults(run=lambda command: _completion(command, make_parser))


def _completion(command: Command, make_parser: Callable[[], argparse.ArgumentParser]) -> int:
    options = command.options
    if options.shell != "words":
        command.output.stdout.write(SCRIPTS[options.shell])
        return DONE
    words = options.words or [""]
    for word in candidates(make_parser(), words):
        if word.startswith(words[-1]):
            command.output.line(word)
    return DONE


def candidates(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """What the last of these words may be."""
    expected: argparse.Action | None = None
    for word in words[:-1]:
        is_value, expected = expected is not None, None
        if is_value:
            continue
        if word.startswith("-"):
            action = parser._option_string_actions.get(word)
            expected = action if action is not None and action.nargs != 0 else None
        elif (deeper := _commands(parser).get(word)) is not None:
            parser = deeper
    if expected is not None:
        return list(map(str, expected.choices or ()))
    if words[-1].startswith("-"):
        return sorted(name for name in parser._option_string_actions if name.startswith("--"))
    return sorted(_commands(parser)) or [str(one) for action in parser._actions for one in _positional(action)]


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {
        name: deeper
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, deeper in action.choices.items()
    }


def _positional(action: argparse.Action) -> Sequence[Any]:
    return [one for one in action.choices or () if one != "words"] if not action.option_strings else ()
