"""Options that take several values at once (`--drives a.mcap b.mcap`), as a shell's `*.mcap` gives them."""

from __future__ import annotations

import click

__all__ = ["VariadicCommand"]


class VariadicCommand(click.Command):
    """A command with one argument, whose repeatable options also take several values in a row: `--drives A B` reads as `--drives A --drives B`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spell every value of a repeatable option out, then parse as usual."""
        return super().parse_args(ctx, self._spelled_out(args))

    def _spelled_out(self, args: list[str]) -> list[str]:
        options = {name: option for option in self.params if isinstance(option, click.Option) for name in option.opts}
        # Of each word that no option claims: where it stands, and the repeatable option whose further value it may be.
        free: list[tuple[int, str | None]] = []
        current: str | None = None
        place = 0
        while place < len(args) and args[place] != "--":
            word = args[place]
            if word.startswith("-") and len(word) > 1:
                option = options.get(word.partition("=")[0])
                current = word.partition("=")[0] if option is not None and option.multiple else None
                place += 1 if option is None or option.is_flag or "=" in word else 2
                continue
            free.append((place, current))
            place += 1
        if len(free) < 2:
            return args
        # The argument itself is the first free word that follows no such option, else the last word.
        argument = next((at for at, option in free if option is None), free[-1][0])
        owners = {at: option for at, option in free if option is not None and at != argument}
        return [word for at, each in enumerate(args) for word in ((owners[at], each) if at in owners else (each,))]
