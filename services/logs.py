"""Log lines: one event a line, as text for people or as JSON for machines. No prompts, no answers, no secrets.

Whoever logs names what a line is about by `extra`: request, turn, user, attempt, … Both formats show every extra.
"""

import logging
import sys
import time

import orjson

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Nobody reads these, and for a greenlet `threading` has to make up a thread each time.
logging.logThreads = logging.logMultiprocessing = False
QUIET = ("httpx", "openai", "urllib3", "authlib", "alembic.runtime.plugins")


def configure(kind: str, level: int = logging.INFO) -> None:
    """Send everything that is logged to stderr, as `text` or `json`. Calling it again changes the format."""
    handler = next((each for each in logging.root.handlers if getattr(each, "tickertape", False)), None)
    if handler is None:
        handler = logging.StreamHandler(sys.stderr)
        handler.tickertape = True
        logging.root.addHandler(handler)
    handler.setFormatter(Json() if kind == "json" else Text("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("gunicorn.error", "gunicorn.access"):
        _adopt(logging.getLogger(name))


def _adopt(logger: logging.Logger) -> None:
    """gunicorn brings handlers of its own; its lines shall look like ours."""
    logger.handlers.clear()
    logger.propagate = True
    if not any(isinstance(each, Departed) for each in logger.filters):
        logger.addFilter(Departed())


class Departed(logging.Filter):
    """A client that stops reading in mid-answer is expected, so it gets a line and not a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], TimeoutError):
            record.msg, record.args, record.exc_info = "a client took nothing for too long and was dropped", None, None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


def extras(record: logging.LogRecord) -> dict[str, object]:
    """What a line is about."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None}


class Text(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, the base class's name
        return " ".join([super().formatMessage(record), *(f"{name}={value}" for name, value in extras(record).items())])


class Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{when}.{int(record.msecs):03d}Z", "level": record.levelname.lower(), "logger": record.name,
                "message": record.getMessage()} | extras(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()
