"""Settings of the Django peer: nothing that a read-and-write JSON service would not need, every commit durable."""

import os

SECRET_KEY = "a benchmark has none"  # noqa: S105 - nothing is signed
ALLOWED_HOSTS = ["*"]
DEBUG = False
USE_TZ = True
ROOT_URLCONF = "tests.bench.peer_django.api"
MIDDLEWARE: list[str] = []
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "simple_history", "tests.bench.peer_django"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": os.environ["PEER_NAME"],
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 60,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
    },
}
POSTGRESQL = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": os.environ["PEER_NAME"],
    "HOST": os.environ.get("PEER_HOST"),
    "USER": os.environ.get("PEER_USER"),
}
# Connections stay open: without this every request would open one.
DATABASES = {"default": {**(POSTGRESQL if "PEER_HOST" in os.environ else SQLITE), "CONN_MAX_AGE": None}}
