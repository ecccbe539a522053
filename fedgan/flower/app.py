"""The two Flower apps, ``client`` and ``server``, made when Flower asks for them: fedgan loads without it."""

import shlex
import sys
from collections.abc import Callable
from typing import Any

from fedgan.config.refusals import REFUSALS, explain
from fedgan.flower.grid import FAILED, GridLink, unwrapped, wrapped

__all__ = ["client", "server"]  # noqa: F822 (Flower looks for them here; __getattr__ makes them)


class RefusedError(Exception):
    """A run that is refused: its one line. Flower sends what was printed only where an exception leaves the app."""


def __getattr__(name: str) -> Any:
    makers = {"client": make_client, "server": make_server}
    if name not in makers:
        raise AttributeError(name)
    return makers[name]()


def make_server() -> Any:
    """The ServerApp: settings come from ``flwr run --run-config``."""
    from flwr.serverapp import ServerApp

    def main(grid: Any, context: Any) -> None:
        from fedgan.flower.server import serve  # here: it waits for torch

        try:
            serve(GridLink(grid), context.run_config)
        except REFUSALS as error:
            print(f"error: {explain(error)}", file=sys.stderr)
            raise RefusedError(explain(error)) from None

    app = ServerApp()
    app.main()(main)
    return app


def make_client() -> Any:
    """The ClientApp: the site's settings come from ``flower-supernode --node-config``, and from nowhere else."""
    from flwr.clientapp import ClientApp

    def hello(message: Any, context: Any) -> Any:
        from fedgan.flower import site  # here: it waits for torch

        return _reply(message, context, lambda own, body: site.answer_hello(own))

    def train(message: Any, context: Any) -> Any:
        from fedgan.flower import site  # here: it waits for torch

        return _reply(message, context, site.answer_order)

    app = ClientApp()
    app.query()(hello)
    app.train()(train)
    return app


def _reply(message: Any, context: Any, answer: Callable[[Any, bytes], bytes]) -> Any:
    """The answer; of what goes wrong the server learns the kind alone: words may name patients' files."""
    from flwr.app import Error, Message

    from fedgan.flower.site import site_settings  # here: it waits for torch

    try:
        body = unwrapped(message)
        if isinstance(body, str):
            raise ValueError(body)
        own = site_settings(shlex.split(str(context.node_config["settings"])))
        return Message(wrapped(answer(own, body)), reply_to=message)
    except Exception as error:
        print(f"error: {type(error).__name__}: {explain(error)}", file=sys.stderr)
        return Message(Error(FAILED, type(error).__name__), reply_to=message)
