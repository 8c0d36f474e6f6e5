"""Offers to everybody, in the bulk lane so that they delay nothing else."""

from datetime import timedelta

from pydantic import HttpUrl

from schemas.catalogue import EventData, Priority, Route


class PromoFlashSale(
    EventData,
    type="promo.flash_sale",
    category="promo",
    routes=(Route("everyone", Priority.LOW, "inbox email webpush"),),
    expires=timedelta(days=1),
):
    """A flash sale has started; `title` names it and `message` says what it offers."""

    title: str
    message: str
    url: HttpUrl


class PromoSpecialOffer(
    EventData,
    type="promo.special_offer",
    category="promo",
    routes=(Route("everyone", Priority.LOW, "inbox email"),),
    expires=timedelta(days=7),
):
    """There is a special offer, redeemed at `url` with the `code` if it has one; `title` is the whole headline."""

    title: str
    message: str
    url: HttpUrl
    code: str | None = None
