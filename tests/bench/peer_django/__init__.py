"""The peer Django + django-simple-history + django-ninja, written as its own documentation would have it."""

from pathlib import Path

from tests.bench.servers import Command, Postgres, granian

# Synchronous Django is fastest under WSGI; threads beyond these only wait for one another.
THREADS = {"sqlite": "1", "postgresql": "4"}


def command(server: Postgres | None, folder: Path, workers: int) -> Command:
    """Say how to serve it on PostgreSQL, or on SQLite if there is none."""
    database = "postgresql" if server else "sqlite"
    arguments = granian(
        "tests.bench.peer_django.api:application",
        interface="wsgi",
        workers=workers,
        extra=["--blocking-threads", THREADS[database]],
    )
    place = {"PEER_HOST": server.folder, "PEER_USER": server.user, "PEER_NAME": server.create("django")} if server else {}
    environment = {"DJANGO_SETTINGS_MODULE": "tests.bench.peer_django.settings", "PEER_NAME": str(folder / "django.db"), **place}
    return Command(f"django-{database}", arguments, environment, "/events?after=0")
