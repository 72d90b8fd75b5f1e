"""What is logged: every line, ours and the libraries', in one form, with nothing in it that a request said.

An exception is told by its type and the places it passed, for its message may quote a body, a search word or a key.
"""

import logging
import logging.config
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping

import msgspec
import structlog
from structlog.typing import Processor

from api.settings import Settings

_MAX_CAUSES = 5


def configure_logging(settings: Settings) -> None:
    """Send every line, ours and the libraries', to standard error in one form. Standard output stays free for data."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*_common(), _renderer(settings.log_format)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(logging_config(settings))


def logging_config(settings: Settings) -> dict[str, object]:
    """Give the standard library's half, in a form that granian's `log_dictconfig` takes and can hand to its workers.

    The servers' own access logs stay silent: they would print query strings, and with them what people search for.
    SQLAlchemy never speaks below a warning: it would print parameters.
    """
    quiet: dict[str, object] = {"handlers": [], "level": "CRITICAL", "propagate": False}
    routed: dict[str, object] = {"handlers": [], "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "api.logs.line_formatter", "log_format": settings.log_format}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "root": {"handlers": ["stderr"], "level": settings.log_level.upper()},
        "loggers": {
            **dict.fromkeys(("_granian", "uvicorn", "uvicorn.error", "uvicorn.asgi"), routed),
            **dict.fromkeys(("granian.access", "uvicorn.access"), quiet),
            "sqlalchemy": {"level": "WARNING"},
        },
    }


def line_formatter(log_format: str) -> logging.Formatter:
    """Make the formatter that turns a library's record into a line like our own."""
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(processors=[meta, _renderer(log_format)], foreign_pre_chain=_common())


def _common() -> list[Processor]:
    return [structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True), _without_values]


def _renderer(log_format: str) -> Processor:
    if log_format == "console":
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    return structlog.processors.JSONRenderer(serializer=_json_line)


def _json_line(line: Mapping[str, object], default: Callable[[object], object]) -> str:
    return msgspec.json.encode(line, enc_hook=default).decode()


def _without_values(_logger: object, _name: str, line: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """Replace an exception by where it happened. Its message may quote a body, a search word or a key."""
    given = line.pop("exc_info", None)
    crash = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(crash, BaseException):
        line["trace"] = [step for cause in _causes(crash) for step in _steps(cause)]
    return line


def _causes(crash: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = crash
    for _ in range(_MAX_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _steps(crash: BaseException) -> Iterator[str]:
    """Name the type, then the calls that led to it, innermost last."""
    yield f"{type(crash).__module__}.{type(crash).__qualname__}"
    for frame in traceback.extract_tb(crash.__traceback__):
        yield f"{frame.filename}:{frame.lineno} {frame.name}"
