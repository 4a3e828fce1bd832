"""What asking an endpoint has cost: requests, tokens, and money by the price given."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from concord.study import TokenPrice

MILLION = 1_000_000


@dataclass
class Usage:
    """Counts of one analysis of one model; they only grow."""

    requests: int = 0
    """Replies that could be used."""
    retries: int = 0
    """Requests sent again."""
    input_tokens: int = 0
    output_tokens: int = 0
    requests_without_count: int = 0
    """Replies, of use or not, in which the server did not say how many tokens it read
    and wrote."""

    def add(self, other: "Usage") -> None:
        """Add another's counts to these."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def count_tokens(self, reply: dict[str, Any]) -> None:
        """Count the tokens that a reply says it took."""
        told = reply.get("usage")
        told = told if isinstance(told, dict) else {}
        read = _first_count(told, "prompt_tokens", "input_tokens")
        written = _first_count(told, "completion_tokens", "output_tokens")
        if read is None:
            self.requests_without_count += 1
        self.input_tokens += read or 0
        self.output_tokens += written or 0

    def as_record(self, price: TokenPrice | None) -> dict[str, Any]:
        """The counts for ``run.json``, with the cost where a price is known."""
        return {**asdict(self), "cost": cost_of(self, price)}


def cost_of(usage: Usage, price: TokenPrice | None) -> dict[str, Any] | None:
    """Tokens by price; None without a price, or where tokens were not all counted."""
    if price is None or usage.requests_without_count:
        return None
    amount = usage.input_tokens * price.input + usage.output_tokens * price.output
    return {"amount": round(amount / MILLION, 6), "currency": price.currency}


def in_words(usage: Usage, price: TokenPrice | None) -> str:
    """``1,200 requests (3 again), 45,000 tokens in, 1,200 out, 0.02 USD``."""
    again = f" ({usage.retries:,} sent again)" if usage.retries else ""
    tokens = f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"
    if usage.requests_without_count:
        tokens += f" (not told in {usage.requests_without_count:,} replies)"
    cost = cost_of(usage, price)
    paid = f", {cost['amount']:.4f} {cost['currency']}" if cost else ""
    return f"{usage.requests:,} requests{again}, {tokens}{paid}"


def _first_count(told: dict[str, Any], *names: str) -> int | None:
    found = (told.get(name) for name in names)
    return next((n for n in found if type(n) is int and n >= 0), None)
