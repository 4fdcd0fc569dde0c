"""What tokens cost where the agent does not say: list prices, from the data that an installed library brings along."""

from __future__ import annotations

from msgspec.structs import replace

from muster.model.attempts import Usage


def priced(usage: Usage, asked: str) -> Usage:
    """The usage with its cost by the model that was told, or else ``asked`` for; as it is where nobody knows a price.

    >>> priced(Usage(input=1000, output=1000, model="claude-sonnet-4-5"), "").cost_usd
    0.018
    >>> priced(Usage(input=5, model="claude-sonnet-4-5", cost_usd=0.25, cost_source="reported"), "").cost_usd
    0.25
    >>> priced(Usage(input=5, model="nobody-knows-1"), "").cost_source
    'none'
    """
    model = usage.model or asked
    if usage.cost_usd is not None or not usage.tokens or not model:
        return usage
    # Imported late: its prices take longer to load than all of `muster ls`.
    import genai_prices

    used = genai_prices.Usage(
        input_tokens=usage.input + usage.cache_read + usage.cache_write,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.output,
    )
    provider, slash, name = model.partition("/")
    try:
        found = genai_prices.calc_price(used, name if slash else model, provider_id=provider if slash else None)
    except (LookupError, ValueError):
        return usage
    return replace(usage, cost_usd=float(found.total_price), cost_source="priced")
