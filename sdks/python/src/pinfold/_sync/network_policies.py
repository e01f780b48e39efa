# Made from `_async` by `tools/make_sync.py`: change it there.
"""Network policies: rules with a name, which sandboxes follow also when they change."""

from __future__ import annotations

from collections.abc import Iterable

from pinfold._sync.http import Http
from pinfold._sync.streams import Pages
from pinfold._core import call
from pinfold._core.call import Call
from pinfold.types import NamedNetworkPolicy, NetworkPolicy, Page
from pinfold.types._page import page_of


class NetworkPolicies:
    """The network policies of the caller's project."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(
        self,
        name: str,
        rules: NetworkPolicy | None = None,
        *,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> NamedNetworkPolicy:
        """Makes a policy. Tried again where that is safe: one comes of it.

        Args:
            name: a label of 1 to 100 characters; need not be unique.
            rules: without any it allows nothing.
            description: at most 1000 characters.
            idempotency_key: makes repeating this safe, also across runs of the program.
        """
        body = {"name": name, "description": description, **(call.network_policy(rules) or {})}
        request = call.post("network-policies", read=NamedNetworkPolicy.from_json).json(body)
        return self._http.fetch(request.named(idempotency_key))

    def get(self, policy_id: str) -> NamedNetworkPolicy:
        """One policy."""
        request = call.get("network-policies", policy_id, read=NamedNetworkPolicy.from_json)
        return self._http.fetch(request)

    def list(self, *, page_size: int | None = None) -> Pages[NamedNetworkPolicy]:
        """Every policy, newest first."""

        def page(cursor: str | None) -> Call[Page[NamedNetworkPolicy]]:
            request = call.get("network-policies", read=page_of(NamedNetworkPolicy.from_json))
            return request.query(limit=page_size, cursor=cursor)

        return Pages(self._http, page, lambda policy: policy)

    def update(
        self,
        policy_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        allow: Iterable[str] | None = None,
        deny: Iterable[str] | None = None,
    ) -> NamedNetworkPolicy:
        """Changes a policy; what is `None` stays. Then every sandbox that follows it obeys.

        Args:
            policy_id: which.
            name: a label.
            description: an empty one takes it away.
            allow: in place of all that allow.
            deny: in place of all that deny.
        """
        body = {
            "name": name,
            "description": description,
            "allow": None if allow is None else list(allow),
            "deny": None if deny is None else list(deny),
        }
        request = call.patch("network-policies", policy_id, read=NamedNetworkPolicy.from_json)
        return self._http.fetch(request.json(body))

    def delete(self, policy_id: str) -> None:
        """Deletes a policy; a conflict while a sandbox that has not ended follows it."""
        # Once only: a second try would find nothing and report that.
        request = call.delete("network-policies", policy_id, read=call.nothing)
        self._http.fetch(request.once())
