"""Isolated Linux sandboxes for AI agents, on machines that you own: the client of Pinfold."""

from pinfold._version import __version__

__all__ = ["__version__"]
