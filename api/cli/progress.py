"""What a command shows while it works, on standard error."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import Progress, TaskID

console = Console(stderr=True, markup=False)


def bars(*, transient: bool = True) -> Progress:
    """Make bars that a person sees; in a file or a log there are none."""
    return Progress(console=console, transient=transient, disable=not console.is_terminal)


def stepping(progress: Progress) -> Callable[[str, int, int], None]:
    """Show each thing that is done as a bar of its own."""
    tasks: dict[str, TaskID] = {}

    def step(name: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = progress.add_task(name, total=total)
        progress.update(tasks[name], completed=done, total=total)

    return step
